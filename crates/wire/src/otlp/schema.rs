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
    /// A signed number, zigzag encoded.
    Zigzag,
    Fixed32,
    Fixed64,
    /// A signed number in a fixed width.
    Signed64,
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

const fn numbers(name: &'static str, number: u32, ty: Type) -> Field {
    Field { name, number, ty, repeated: true }
}

/// `ExportTraceServiceRequest`, also `TracesData`.
pub static TRACES: Schema = Schema { fields: &[many("resourceSpans", 1, &RESOURCE_SPANS)] };
/// `ExportLogsServiceRequest`, also `LogsData`.
pub static LOGS: Schema = Schema { fields: &[many("resourceLogs", 1, &RESOURCE_LOGS)] };

/// `ExportMetricsServiceRequest`, also `MetricsData`.
pub static METRICS: Schema = Schema { fields: &[many("resourceMetrics", 1, &RESOURCE_METRICS)] };

static RESOURCE_SPANS: Schema = Schema {
    fields: &[one("resource", 1, Type::Message(&RESOURCE)), many("scopeSpans", 2, &SCOPE_SPANS), one("schemaUrl", 3, Type::Text)],
};
static RESOURCE_LOGS: Schema =
    Schema { fields: &[one("resource", 1, Type::Message(&RESOURCE)), many("scopeLogs", 2, &SCOPE_LOGS), one("schemaUrl", 3, Type::Text)] };
static RESOURCE_METRICS: Schema = Schema {
    fields: &[one("resource", 1, Type::Message(&RESOURCE)), many("scopeMetrics", 2, &SCOPE_METRICS), one("schemaUrl", 3, Type::Text)],
};
static SCOPE_METRICS: Schema =
    Schema { fields: &[one("scope", 1, Type::Message(&SCOPE)), many("metrics", 2, &METRIC), one("schemaUrl", 3, Type::Text)] };
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
static METRIC: Schema = Schema {
    fields: &[
        one("name", 1, Type::Text),
        one("description", 2, Type::Text),
        one("unit", 3, Type::Text),
        one("gauge", 5, Type::Message(&GAUGE)),
        one("sum", 7, Type::Message(&SUM)),
        one("histogram", 9, Type::Message(&HISTOGRAM)),
        one("exponentialHistogram", 10, Type::Message(&EXPONENTIAL)),
        one("summary", 11, Type::Message(&SUMMARY)),
        many("metadata", 12, &KEY_VALUE),
    ],
};
static GAUGE: Schema = Schema { fields: &[many("dataPoints", 1, &NUMBER_POINT)] };
static SUM: Schema = Schema {
    fields: &[
        many("dataPoints", 1, &NUMBER_POINT),
        one("aggregationTemporality", 2, Type::Enum(&TEMPORALITIES)),
        one("isMonotonic", 3, Type::Bool),
    ],
};
static HISTOGRAM: Schema =
    Schema { fields: &[many("dataPoints", 1, &HISTOGRAM_POINT), one("aggregationTemporality", 2, Type::Enum(&TEMPORALITIES))] };
static EXPONENTIAL: Schema =
    Schema { fields: &[many("dataPoints", 1, &EXPONENTIAL_POINT), one("aggregationTemporality", 2, Type::Enum(&TEMPORALITIES))] };
static SUMMARY: Schema = Schema { fields: &[many("dataPoints", 1, &SUMMARY_POINT)] };
static NUMBER_POINT: Schema = Schema {
    fields: &[
        many("attributes", 7, &KEY_VALUE),
        one("startTimeUnixNano", 2, Type::Fixed64),
        one("timeUnixNano", 3, Type::Fixed64),
        one("asDouble", 4, Type::Double),
        one("asInt", 6, Type::Signed64),
        many("exemplars", 5, &EXEMPLAR),
        one("flags", 8, Type::Varint),
    ],
};
static HISTOGRAM_POINT: Schema = Schema {
    fields: &[
        many("attributes", 9, &KEY_VALUE),
        one("startTimeUnixNano", 2, Type::Fixed64),
        one("timeUnixNano", 3, Type::Fixed64),
        one("count", 4, Type::Fixed64),
        one("sum", 5, Type::Double),
        numbers("bucketCounts", 6, Type::Fixed64),
        numbers("explicitBounds", 7, Type::Double),
        many("exemplars", 8, &EXEMPLAR),
        one("flags", 10, Type::Varint),
        one("min", 11, Type::Double),
        one("max", 12, Type::Double),
    ],
};
static EXPONENTIAL_POINT: Schema = Schema {
    fields: &[
        many("attributes", 1, &KEY_VALUE),
        one("startTimeUnixNano", 2, Type::Fixed64),
        one("timeUnixNano", 3, Type::Fixed64),
        one("count", 4, Type::Fixed64),
        one("sum", 5, Type::Double),
        one("scale", 6, Type::Zigzag),
        one("zeroCount", 7, Type::Fixed64),
        one("positive", 8, Type::Message(&EXPONENTIAL_BUCKETS)),
        one("negative", 9, Type::Message(&EXPONENTIAL_BUCKETS)),
        one("flags", 10, Type::Varint),
        many("exemplars", 11, &EXEMPLAR),
        one("min", 12, Type::Double),
        one("max", 13, Type::Double),
        one("zeroThreshold", 14, Type::Double),
    ],
};
static EXPONENTIAL_BUCKETS: Schema = Schema { fields: &[one("offset", 1, Type::Zigzag), numbers("bucketCounts", 2, Type::Varint)] };
static SUMMARY_POINT: Schema = Schema {
    fields: &[
        many("attributes", 7, &KEY_VALUE),
        one("startTimeUnixNano", 2, Type::Fixed64),
        one("timeUnixNano", 3, Type::Fixed64),
        one("count", 4, Type::Fixed64),
        one("sum", 5, Type::Double),
        many("quantileValues", 6, &QUANTILE_VALUE),
        one("flags", 8, Type::Varint),
    ],
};
static QUANTILE_VALUE: Schema = Schema { fields: &[one("quantile", 1, Type::Double), one("value", 2, Type::Double)] };
static EXEMPLAR: Schema = Schema {
    fields: &[
        many("filteredAttributes", 7, &KEY_VALUE),
        one("timeUnixNano", 2, Type::Fixed64),
        one("asDouble", 3, Type::Double),
        one("asInt", 6, Type::Signed64),
        one("spanId", 4, Type::Hex),
        one("traceId", 5, Type::Hex),
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
static TEMPORALITIES: [&str; 3] =
    ["AGGREGATION_TEMPORALITY_UNSPECIFIED", "AGGREGATION_TEMPORALITY_DELTA", "AGGREGATION_TEMPORALITY_CUMULATIVE"];
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
