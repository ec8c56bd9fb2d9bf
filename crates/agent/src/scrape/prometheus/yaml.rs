//! YAML as Prometheus reads it: the 1.1 of its library, with merge keys, where ours is 1.2.

use std::collections::BTreeMap;
use std::fmt;

use base::{Error, Result};
use serde::de::{Deserialize, DeserializeOwned, Deserializer, Error as _, Visitor};
use serde_yaml_ng::{Mapping, Value};

/// Keys that nobody has taken.
pub(super) type Rest = BTreeMap<String, Value>;

/// Reads a text. One without merge keys is read at once, so that what is wrong comes with its line.
pub(super) fn read<T: DeserializeOwned>(text: &str) -> Result<T> {
    let wrong = |e: serde_yaml_ng::Error| Error::invalid(e.to_string());
    if !text.contains("<<") {
        return serde_yaml_ng::from_str(text).map_err(wrong);
    }
    let value = merged(serde_yaml_ng::from_str(text).map_err(wrong)?)?;
    serde_yaml_ng::from_value(value).map_err(wrong)
}

/// The same with what its `<<` name merged in: a key of its own is right, then that of the first mapping that has it.
fn merged(value: Value) -> Result<Value> {
    match value {
        Value::Sequence(all) => all.into_iter().map(merged).collect::<Result<_>>().map(Value::Sequence),
        Value::Mapping(all) => {
            let (mut own, mut further) = (Mapping::new(), vec![]);
            for (k, v) in all {
                match (k.as_str() == Some("<<"), merged(v)?) {
                    (false, v) => _ = own.insert(k, v),
                    (true, Value::Sequence(many)) => further.extend(many),
                    (true, one) => further.push(one),
                }
            }
            for v in further {
                let Value::Mapping(other) = v else { return Err(Error::invalid("<<: is no mapping")) };
                for (k, v) in other {
                    if !own.contains_key(&k) {
                        own.insert(k, v);
                    }
                }
            }
            Ok(Value::Mapping(own))
        }
        other => Ok(other),
    }
}

/// A list; nothing at all is an empty one.
pub(super) fn list<'de, D: Deserializer<'de>, T: Deserialize<'de>>(d: D) -> std::result::Result<Vec<T>, D::Error> {
    Ok(Option::deserialize(d)?.unwrap_or_default())
}

/// A boolean, also as YAML 1.1 has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Flag(pub bool);

impl<'de> Deserialize<'de> for Flag {
    fn deserialize<D: Deserializer<'de>>(d: D) -> std::result::Result<Self, D::Error> {
        struct Reads;
        impl Visitor<'_> for Reads {
            type Value = Flag;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("true or false")
            }
            fn visit_bool<E: serde::de::Error>(self, v: bool) -> std::result::Result<Flag, E> {
                Ok(Flag(v))
            }
            fn visit_str<E: serde::de::Error>(self, v: &str) -> std::result::Result<Flag, E> {
                match v {
                    "y" | "Y" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" => Ok(Flag(true)),
                    "n" | "N" | "no" | "No" | "NO" | "off" | "Off" | "OFF" => Ok(Flag(false)),
                    _ => Err(E::custom(format!("{v:?} is neither true nor false"))),
                }
            }
        }
        d.deserialize_any(Reads)
    }
}

/// A whole number, also with `_` between its digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Number(pub u64);

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(d: D) -> std::result::Result<Self, D::Error> {
        let crate::scalar::Scalar(text) = Deserialize::deserialize(d)?;
        let digits = text.replace('_', "");
        digits.parse().map(Number).map_err(|_| D::Error::custom(format!("{text:?} is not a whole number of at least 0")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merge_keys() {
        let text = "a: &a { x: 1, y: 1 }\nb: &b { <<: *a, y: 2 }\nc: { <<: [{ z: 3 }, *b, { z: 4 }], x: 5 }\n";
        let read: BTreeMap<String, BTreeMap<String, u64>> = read(text).unwrap();
        let of = |pairs: &[(&str, u64)]| pairs.iter().map(|(n, v)| ((*n).to_owned(), *v)).collect::<BTreeMap<_, _>>();
        assert_eq!(read["b"], of(&[("x", 1), ("y", 2)]));
        assert_eq!(read["c"], of(&[("x", 5), ("y", 2), ("z", 3)]));
        assert!(super::read::<Value>("a: { <<: 1 }").is_err());
    }

    #[test]
    fn booleans_and_numbers() {
        let flags = |text: &str| serde_yaml_ng::from_str::<Vec<Flag>>(text).map(|f| f.iter().map(|f| f.0).collect::<Vec<_>>());
        assert_eq!(flags("[true, yes, On, false, NO, off]").unwrap(), [true, true, true, false, false, false]);
        assert!(flags("[maybe]").is_err() && flags("[1]").is_err());
        let numbers = |text: &str| serde_yaml_ng::from_str::<Vec<Number>>(text).map(|f| f.iter().map(|f| f.0).collect::<Vec<_>>());
        assert_eq!(numbers("[5, 1_000]").unwrap(), [5, 1000]);
        assert!(numbers("[-1]").is_err() && numbers("[x]").is_err());
    }
}
