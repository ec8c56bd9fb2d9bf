//! The JSON form of a push, `{"streams": [{"stream": {..}, "values": [["<ns>", "line", {..}?], ..]}]}`, turned into the
//! protobuf form, which is then walked like one that was received.
//!
//! The text is read as a stream: beside the output nothing grows with it. Names that are not known are passed over.

use std::borrow::Cow;
use std::fmt;

use base::{Error, Result};
use serde::de::{self, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::labels;
use crate::proto::Writer;

/// The `PushRequest` that says the same. `Invalid` for text that is not such a push.
pub fn to_protobuf(body: &[u8]) -> Result<Vec<u8>> {
    let mut w = Writer { out: Vec::with_capacity(body.len()) };
    let mut de = serde_json::Deserializer::from_slice(body);
    Push(&mut w).deserialize(&mut de).and_then(|()| de.end()).map_err(|e| Error::invalid(format!("the push request is not valid: {e}")))?;
    Ok(w.out)
}

/// Defines a seed that writes what it reads into the writer it holds.
macro_rules! seed {
    ($name:ident, $method:ident, $expecting:literal, $visit:item) => {
        struct $name<'w>(&'w mut Writer);
        impl<'de> DeserializeSeed<'de> for $name<'_> {
            type Value = ();
            fn deserialize<D: Deserializer<'de>>(self, d: D) -> std::result::Result<(), D::Error> {
                d.$method(self)
            }
        }
        impl<'de> Visitor<'de> for $name<'_> {
            type Value = ();
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str($expecting)
            }
            $visit
        }
    };
}

seed!(
    Push,
    deserialize_map,
    "an object with \"streams\"",
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<(), A::Error> {
        while let Some(key) = map.next_key::<Cow<'_, str>>()? {
            if key == "streams" {
                map.next_value_seed(StreamList(self.0))?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }
);

seed!(
    StreamList,
    deserialize_seq,
    "a list of streams",
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> std::result::Result<(), A::Error> {
        while seq.next_element_seed(OneStream(&mut *self.0))?.is_some() {}
        Ok(())
    }
);

seed!(
    OneStream,
    deserialize_map,
    "an object with \"stream\" and \"values\"",
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<(), A::Error> {
        let mark = self.0.begin(1);
        while let Some(key) = map.next_key::<Cow<'_, str>>()? {
            match &*key {
                "stream" => {
                    let text = map.next_value_seed(LabelMap)?;
                    self.0.bytes(1, text.as_bytes());
                }
                "values" => map.next_value_seed(Values(&mut *self.0))?,
                _ => _ = map.next_value::<IgnoredAny>()?,
            }
        }
        self.0.end(mark);
        Ok(())
    }
);

seed!(
    Values,
    deserialize_seq,
    "a list of entries",
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> std::result::Result<(), A::Error> {
        while seq.next_element_seed(OneEntry(&mut *self.0))?.is_some() {}
        Ok(())
    }
);

seed!(
    OneEntry,
    deserialize_seq,
    "an entry: [\"<nanoseconds>\", \"line\"] or the same with an object of metadata",
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> std::result::Result<(), A::Error> {
        let mark = self.0.begin(2);
        let time = seq.next_element::<Cow<'_, str>>()?.ok_or_else(|| de::Error::custom("an entry has no time"))?;
        let ns: i64 = time
            .parse()
            .map_err(|_| de::Error::custom(format_args!("time {:?} is not a number of nanoseconds", crate::encoding::shorten(&time))))?;
        self.0.message(1, |w| {
            w.varint(1, ns.div_euclid(1_000_000_000) as u64);
            w.varint(2, ns.rem_euclid(1_000_000_000) as u64);
        });
        seq.next_element_seed(Line(&mut *self.0))?.ok_or_else(|| de::Error::custom("an entry has no line"))?;
        seq.next_element_seed(Metadata(&mut *self.0))?;
        if seq.next_element::<IgnoredAny>()?.is_some() {
            return Err(de::Error::custom("an entry has more than three elements"));
        }
        self.0.end(mark);
        Ok(())
    }
);

// As bytes, not text: half a surrogate pair in an escape must not cost the whole body. The codec repairs it.
seed!(
    Line,
    deserialize_bytes,
    "a line",
    fn visit_bytes<E: de::Error>(self, line: &[u8]) -> std::result::Result<(), E> {
        self.0.bytes(2, line);
        Ok(())
    }
);

seed!(
    Metadata,
    deserialize_map,
    "an object of structured metadata, values being strings",
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<(), A::Error> {
        while let Some((name, value)) = map.next_entry::<Cow<'_, str>, Cow<'_, str>>()? {
            self.0.message(3, |w| {
                w.bytes(1, name.as_bytes());
                w.bytes(2, value.as_bytes());
            });
        }
        Ok(())
    }
);

/// Reads `{"a": "b"}` into `{a="b"}`.
struct LabelMap;

impl<'de> DeserializeSeed<'de> for LabelMap {
    type Value = String;
    fn deserialize<D: Deserializer<'de>>(self, d: D) -> std::result::Result<String, D::Error> {
        d.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for LabelMap {
    type Value = String;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of labels, values being strings")
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<String, A::Error> {
        let mut out = String::from("{");
        while let Some((name, value)) = map.next_entry::<Cow<'_, str>, Cow<'_, str>>()? {
            if out.len() > 1 {
                out.push_str(", ");
            }
            out.push_str(&name);
            out.push('=');
            labels::quote(&mut out, &value);
        }
        out.push('}');
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::loki::{PushEntry, PushStream, Streams, push_json, push_protobuf};

    #[test]
    fn json_says_what_protobuf_says() {
        let streams = [
            PushStream {
                labels: &[("app", "a\"b"), ("env", "prod")],
                entries: &[
                    PushEntry { time_ns: 1_700_000_000_123_456_789, line: "one", metadata: &[("trace_id", "ab"), ("k", "\u{1F600}")] },
                    PushEntry { time_ns: -5, line: "two \n \"x\"", metadata: &[] },
                ],
            },
            PushStream { labels: &[], entries: &[] },
        ];
        // `serde_json` sorts the names of an object, as these are already.
        let mut sorted = streams.clone();
        let meta = [("k", "\u{1F600}"), ("trace_id", "ab")];
        let entries = [PushEntry { metadata: &meta, ..streams[0].entries[0].clone() }, streams[0].entries[1].clone()];
        sorted[0].entries = &entries;
        assert_eq!(to_protobuf(&push_json(&sorted)).unwrap(), push_protobuf(&sorted));
    }

    #[test]
    fn unknown_names_are_passed_over_and_nonsense_is_refused() {
        let ok = br#"{"x":[1,{"y":null}],"streams":[{"values":[["5","l"]],"z":1,"stream":{"a":"b"}}]}"#;
        let p = to_protobuf(ok).unwrap();
        let s = Streams::new(&p).next().unwrap().unwrap();
        assert_eq!(s.labels, br#"{a="b"}"#);
        assert_eq!(s.entries().next().unwrap().unwrap().time_ns, 5);
        assert_eq!(to_protobuf(b"{}").unwrap(), b"");
        for bad in [
            &b""[..],
            b"[]",
            b"{",
            b"{} x",
            br#"{"streams":{}}"#,
            br#"{"streams":[{"values":[["x","l"]]}]}"#,
            br#"{"streams":[{"values":[[5,"l"]]}]}"#,
            br#"{"streams":[{"values":[["5"]]}]}"#,
            br#"{"streams":[{"values":[["5",6]]}]}"#,
            br#"{"streams":[{"values":[["5","l",{"a":1}]]}]}"#,
            br#"{"streams":[{"values":[["5","l",{},1]]}]}"#,
            br#"{"streams":[{"stream":{"a":1}}]}"#,
        ] {
            assert_eq!(to_protobuf(bad).unwrap_err().kind(), base::Kind::Invalid, "{}", String::from_utf8_lossy(bad));
        }
    }

    #[test]
    fn half_a_surrogate_pair_costs_nothing_but_itself() {
        let p = to_protobuf(br#"{"streams":[{"stream":{"a":"b"},"values":[["5","x\ud800y"]]}]}"#).unwrap();
        let e = Streams::new(&p).next().unwrap().unwrap().entries().next().unwrap().unwrap();
        assert!(e.line.starts_with(b"x") && e.line.ends_with(b"y"));
    }

    #[test]
    fn what_is_passed_over_may_be_as_deep_as_it_likes() {
        let deep = format!("{{\"x\":{}{}}}", "[".repeat(1_000_000), "]".repeat(1_000_000));
        assert_eq!(to_protobuf(deep.as_bytes()).unwrap(), b"");
    }
}
