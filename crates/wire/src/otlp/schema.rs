//! The messages of OTLP as data: what their JSON form is turned into protobuf by.

/// A message.
#[derive(Debug)]
pub struct Schema {
    pub(super) fields: &'static [Field],
}

#[derive(Debug)]
pub(super) struct Field {
    /// In lowerCamelCase.
    pub name: &'static str,
    pub number: u32,
    pub ty: Type,
    pub repeated: bool,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Type {
    Text,
    /// Trace and span ids are hexadecimal in OTLP, unlike elsewhere.
    Hex,
    Base64,
    Bool,
    Varint,
    Fixed32,
    Fixed64,
    Double,
    /// A number, or one of these names; the place of a name is its number.
    Enum(&'static [&'static str]),
    Message(&'static Schema),
}

impl Schema {
    /// The field of that name. Names in snake_case are understood too, as protobuf's JSON mapping demands.
    pub(super) fn field(&self, name: &str) -> Option<&'static Field> {
        let same = |f: &&Field| f.name == name || (name.contains('_') && f.name.bytes().eq(camel(name)));
        self.fields.iter().find(same)
    }
}

fn camel(snake: &str) -> impl Iterator<Item = u8> {
    let mut up = false;
    snake.bytes().filter_map(move |b| {
        let out = if up { b.to_ascii_uppercase() } else { b };
        up = b == b'_';
        (!up).then_some(out)
    })
}

const fn one(name: &'static str, number: u32, ty: Type) -> Field {
    Field { name, number, ty, repeated: false }
}

const fn many(name: &'static str, number: u32, message: &'static Schema) -> Field {
    Field { name, number, ty: Type::Message(message), repeated: true }
}

/// `ExportTraceServiceRequest`, also `TracesData`.
pub static TRACES: Schema = Schema { fields: &[many("resourceSpans", 1, &RESOURCE_SPANS)] };
/// `ExportLogsServiceRequest`, also `LogsData`.
pub static LOGS: Schema = Schema { fields: &[many("resourceLogs", 1, &RESOURCE_LOGS)] };

static RESOURCE_SPANS: Schema = Schema {
    fields: &[one("resource", 1, Type::Message(&RESOURCE)), many("scopeSpans", 2, &SCOPE_SPANS), one("schemaUrl", 3, Type::Text)],
};
static RESOURCE_LOGS: Schema =
    Schema { fields: &[one("resource", 1, Type::Message(&RESOURCE)), many("scopeLogs", 2, &SCOPE_LOGS), one("schemaUrl", 3, Type::Text)] };
static SCOPE_SPANS: Schema =
    Schema { fields: &[one("scope", 1, Type::Message(&SCOPE)), many("spans", 2, &SPAN), one("schemaUrl", 3, Type::Text)] };
static SCOPE_LOGS: Schema =
    Schema { fields: &[one("scope", 1, Type::Message(&SCOPE)), many("logRecords", 2, &LOG_RECORD), one("schemaUrl", 3, Type::Text)] };
static RESOURCE: Schema = Schema { fields: &[many("attributes", 1, &KEY_VALUE), one("droppedAttributesCount", 2, Type::Varint)] };
static SCOPE: Schema = Schema {
    fields: &[
        one("name", 1, Type::Text),
        one("version", 2, Type::Text),
        many("attributes", 3, &KEY_VALUE),
        one("droppedAttributesCount", 4, Type::Varint),
    ],
};
static SPAN: Schema = Schema {
    fields: &[
        one("traceId", 1, Type::Hex),
        one("spanId", 2, Type::Hex),
        one("traceState", 3, Type::Text),
        one("parentSpanId", 4, Type::Hex),
        one("name", 5, Type::Text),
        one("kind", 6, Type::Enum(&KINDS)),
        one("startTimeUnixNano", 7, Type::Fixed64),
        one("endTimeUnixNano", 8, Type::Fixed64),
        many("attributes", 9, &KEY_VALUE),
        one("droppedAttributesCount", 10, Type::Varint),
        many("events", 11, &EVENT),
        one("droppedEventsCount", 12, Type::Varint),
        many("links", 13, &LINK),
        one("droppedLinksCount", 14, Type::Varint),
        one("status", 15, Type::Message(&STATUS)),
        one("flags", 16, Type::Fixed32),
    ],
};
static EVENT: Schema = Schema {
    fields: &[
        one("timeUnixNano", 1, Type::Fixed64),
        one("name", 2, Type::Text),
        many("attributes", 3, &KEY_VALUE),
        one("droppedAttributesCount", 4, Type::Varint),
    ],
};
static LINK: Schema = Schema {
    fields: &[
        one("traceId", 1, Type::Hex),
        one("spanId", 2, Type::Hex),
        one("traceState", 3, Type::Text),
        many("attributes", 4, &KEY_VALUE),
        one("droppedAttributesCount", 5, Type::Varint),
        one("flags", 6, Type::Fixed32),
    ],
};
static STATUS: Schema = Schema { fields: &[one("message", 2, Type::Text), one("code", 3, Type::Enum(&STATUS_CODES))] };
static LOG_RECORD: Schema = Schema {
    fields: &[
        one("timeUnixNano", 1, Type::Fixed64),
        one("observedTimeUnixNano", 11, Type::Fixed64),
        one("severityNumber", 2, Type::Enum(&SEVERITIES)),
        one("severityText", 3, Type::Text),
        one("body", 5, Type::Message(&ANY_VALUE)),
        many("attributes", 6, &KEY_VALUE),
        one("droppedAttributesCount", 7, Type::Varint),
        one("flags", 8, Type::Fixed32),
        one("traceId", 9, Type::Hex),
        one("spanId", 10, Type::Hex),
        one("eventName", 12, Type::Text),
    ],
};
static KEY_VALUE: Schema = Schema { fields: &[one("key", 1, Type::Text), one("value", 2, Type::Message(&ANY_VALUE))] };
static ANY_VALUE: Schema = Schema {
    fields: &[
        one("stringValue", 1, Type::Text),
        one("boolValue", 2, Type::Bool),
        one("intValue", 3, Type::Varint),
        one("doubleValue", 4, Type::Double),
        one("arrayValue", 5, Type::Message(&ARRAY)),
        one("kvlistValue", 6, Type::Message(&MAP)),
        one("bytesValue", 7, Type::Base64),
    ],
};
static ARRAY: Schema = Schema { fields: &[many("values", 1, &ANY_VALUE)] };
static MAP: Schema = Schema { fields: &[many("values", 1, &KEY_VALUE)] };

static KINDS: [&str; 6] =
    ["SPAN_KIND_UNSPECIFIED", "SPAN_KIND_INTERNAL", "SPAN_KIND_SERVER", "SPAN_KIND_CLIENT", "SPAN_KIND_PRODUCER", "SPAN_KIND_CONSUMER"];
static STATUS_CODES: [&str; 3] = ["STATUS_CODE_UNSET", "STATUS_CODE_OK", "STATUS_CODE_ERROR"];
static SEVERITIES: [&str; 25] = [
    "SEVERITY_NUMBER_UNSPECIFIED",
    "SEVERITY_NUMBER_TRACE",
    "SEVERITY_NUMBER_TRACE2",
    "SEVERITY_NUMBER_TRACE3",
    "SEVERITY_NUMBER_TRACE4",
    "SEVERITY_NUMBER_DEBUG",
    "SEVERITY_NUMBER_DEBUG2",
    "SEVERITY_NUMBER_DEBUG3",
    "SEVERITY_NUMBER_DEBUG4",
    "SEVERITY_NUMBER_INFO",
    "SEVERITY_NUMBER_INFO2",
    "SEVERITY_NUMBER_INFO3",
    "SEVERITY_NUMBER_INFO4",
    "SEVERITY_NUMBER_WARN",
    "SEVERITY_NUMBER_WARN2",
    "SEVERITY_NUMBER_WARN3",
    "SEVERITY_NUMBER_WARN4",
    "SEVERITY_NUMBER_ERROR",
    "SEVERITY_NUMBER_ERROR2",
    "SEVERITY_NUMBER_ERROR3",
    "SEVERITY_NUMBER_ERROR4",
    "SEVERITY_NUMBER_FATAL",
    "SEVERITY_NUMBER_FATAL2",
    "SEVERITY_NUMBER_FATAL3",
    "SEVERITY_NUMBER_FATAL4",
];
