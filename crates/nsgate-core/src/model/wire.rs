//! How single values are written in a saved World: bytes as hexadecimal digits, names and addresses as the text that
//! operators write.
//!
//! Types of this crate that have such a text are given it here; a field whose type comes from elsewhere names one of the
//! modules below (`#[serde(with = "hex")]`).

use std::fmt::Display;
use std::str::FromStr;

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{LinkName, NetnsName, Sysctl};

macro_rules! written_as_text {
    ($($name:ty),+) => {$(
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                parse(&String::deserialize(deserializer)?)
            }
        }

        #[cfg(test)]
        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
                String::json_schema(generator)
            }
        }
    )+};
}

written_as_text!(LinkName, NetnsName, Sysctl);

fn parse<T: FromStr<Err: Display>, E: Error>(text: &str) -> Result<T, E> {
    text.parse().map_err(E::custom)
}

/// Link-layer addresses and the like: whatever shows itself as a text that it can be read from.
pub(super) mod text {
    use super::{Deserialize, Deserializer, Display, FromStr, Serializer, parse};

    pub(in crate::model) fn serialize<T: Display, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }

    pub(in crate::model) fn deserialize<'de, T: FromStr<Err: Display>, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<T, D::Error> {
        parse(&String::deserialize(deserializer)?)
    }

    /// The same where there may be none.
    pub(in crate::model) mod option {
        use super::{Deserialize, Deserializer, Display, FromStr, Serializer, parse};

        #[expect(clippy::ref_option, reason = "serde passes the field")]
        pub(in crate::model) fn serialize<T: Display, S: Serializer>(
            value: &Option<T>,
            serializer: S,
        ) -> Result<S::Ok, S::Error> {
            match value {
                Some(value) => serializer.collect_str(value),
                None => serializer.serialize_none(),
            }
        }

        pub(in crate::model) fn deserialize<'de, T: FromStr<Err: Display>, D: Deserializer<'de>>(
            deserializer: D,
        ) -> Result<Option<T>, D::Error> {
            Option::<String>::deserialize(deserializer)?.map(|text| parse(&text)).transpose()
        }
    }
}

/// `ipv4` or `ipv6`.
pub(super) mod family {
    use nsgate_packet::Family;

    use super::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Serialize, Deserialize)]
    #[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Family"))]
    #[serde(rename_all = "lowercase")]
    pub(in crate::model) enum Word {
        Ipv4,
        Ipv6,
    }

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes the field")]
    pub(in crate::model) fn serialize<S: Serializer>(family: &Family, serializer: S) -> Result<S::Ok, S::Error> {
        let word = match family {
            Family::V4 => Word::Ipv4,
            Family::V6 => Word::Ipv6,
        };
        word.serialize(serializer)
    }

    pub(in crate::model) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Family, D::Error> {
        Ok(match Word::deserialize(deserializer)? {
            Word::Ipv4 => Family::V4,
            Word::Ipv6 => Family::V6,
        })
    }
}

/// Bytes as hexadecimal digits, two a byte.
pub(super) mod hex {
    use super::{Deserialize, Deserializer, Error, Serializer};

    pub(in crate::model) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&write(bytes))
    }

    pub(in crate::model) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        read(&String::deserialize(deserializer)?).ok_or_else(|| D::Error::custom(ODD))
    }

    const ODD: &str = "bytes are pairs of hexadecimal digits, such as 0a141eb6";

    fn write(bytes: &[u8]) -> String {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        bytes.iter().flat_map(|b| [b >> 4, b & 15]).map(|digit| char::from(DIGITS[usize::from(digit)])).collect()
    }

    fn read(text: &str) -> Option<Vec<u8>> {
        let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
        let pairs = text.as_bytes().chunks(2);
        pairs.map(|pair| if let &[high, low] = pair { Some(digit(high)? << 4 | digit(low)?) } else { None }).collect()
    }

    /// The same where there may be none.
    pub(in crate::model) mod option {
        use super::{Deserialize, Deserializer, Error, ODD, Serializer, read, write};

        #[expect(clippy::ref_option, reason = "serde passes the field")]
        pub(in crate::model) fn serialize<S: Serializer>(
            bytes: &Option<Vec<u8>>,
            serializer: S,
        ) -> Result<S::Ok, S::Error> {
            match bytes {
                Some(bytes) => serializer.serialize_str(&write(bytes)),
                None => serializer.serialize_none(),
            }
        }

        pub(in crate::model) fn deserialize<'de, D: Deserializer<'de>>(
            deserializer: D,
        ) -> Result<Option<Vec<u8>>, D::Error> {
            let text = Option::<String>::deserialize(deserializer)?;
            text.map(|text| read(&text).ok_or_else(|| D::Error::custom(ODD))).transpose()
        }
    }
}
