//! Reads an event's parameters as a type of the application, as forms send them.

use serde::{
    de::{
        DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, IntoDeserializer,
        VariantAccess, Visitor,
        value::{MapDeserializer, SeqDeserializer},
    },
    forward_to_deserialize_any,
};
use serde_json::{Error, Map, Value};

/// Reads parameters.
///
/// # Errors
///
/// They do not fit the type; the text names no value of the server.
pub(super) fn read<T: DeserializeOwned>(params: &Map<String, Value>) -> Result<T, Error> {
    let params = Value::Object(params.clone());
    T::deserialize(Field(&params))
}

/// A value whose text may stand for a number or a flag.
#[derive(Clone, Copy)]
struct Field<'a>(&'a Value);

/// Reads text as a number or a flag where one is asked for.
macro_rules! parsed {
    ($($method:ident $visit:ident $type:ty),+ $(,)?) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            match self.0.as_str().and_then(|text| text.trim().parse::<$type>().ok()) {
                Some(value) => visitor.$visit(value),
                None => self.0.$method(visitor),
            }
        }
    )+};
}

impl<'de> Deserializer<'de> for Field<'de> {
    type Error = Error;

    parsed! {
        deserialize_i8 visit_i8 i8,
        deserialize_i16 visit_i16 i16,
        deserialize_i32 visit_i32 i32,
        deserialize_i64 visit_i64 i64,
        deserialize_u8 visit_u8 u8,
        deserialize_u16 visit_u16 u16,
        deserialize_u32 visit_u32 u32,
        deserialize_u64 visit_u64 u64,
        deserialize_f32 visit_f32 f32,
        deserialize_f64 visit_f64 f64,
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.0.as_str() {
            // What a ticked box sends that has no value.
            Some("on" | "true") => visitor.visit_bool(true),
            Some("off" | "false") => visitor.visit_bool(false),
            _ => self.0.deserialize_bool(visitor),
        }
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.0 {
            Value::Array(values) => values_of(values, visitor),
            Value::Object(fields) => fields_of(fields, visitor),
            value => value.deserialize_any(visitor),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.0 {
            Value::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    /// A field that a form sends once is a list of one.
    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.0 {
            Value::Array(values) => values_of(values, visitor),
            value @ Value::String(_) => values_of(std::slice::from_ref(value), visitor),
            value => value.deserialize_seq(visitor),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let (name, content) = match self.0 {
            Value::String(name) => (name, None),
            Value::Object(fields) if fields.len() == 1 => {
                let Some((name, content)) = fields.iter().next() else {
                    return self.0.deserialize_any(visitor);
                };
                (name, Some(Field(content)))
            }
            other => return other.deserialize_enum("", &[], visitor),
        };
        visitor.visit_enum(Variant { name, content })
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        match self.0 {
            Value::Object(_) => visitor.visit_unit(),
            value => value.deserialize_unit(visitor),
        }
    }

    /// No parameters are no value.
    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_unit_struct("", visitor)
    }

    forward_to_deserialize_any! {
        i128 u128 char str string bytes byte_buf tuple tuple_struct map struct identifier ignored_any
    }
}

impl<'de> IntoDeserializer<'de, Error> for Field<'de> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

fn values_of<'de, V: Visitor<'de>>(values: &'de [Value], visitor: V) -> Result<V::Value, Error> {
    let mut values = SeqDeserializer::<_, Error>::new(values.iter().map(Field));
    let read = visitor.visit_seq(&mut values)?;
    values.end()?;
    Ok(read)
}

fn fields_of<'de, V: Visitor<'de>>(
    fields: &'de Map<String, Value>,
    visitor: V,
) -> Result<V::Value, Error> {
    let fields = fields
        .iter()
        .map(|(name, value)| (name.as_str(), Field(value)));
    visitor.visit_map(MapDeserializer::<_, Error>::new(fields))
}

/// The name of a variant, and what it holds.
struct Variant<'a> {
    name: &'a str,
    content: Option<Field<'a>>,
}

impl<'de> EnumAccess<'de> for Variant<'de> {
    type Error = Error;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), Error> {
        let name = self.name;
        Ok((seed.deserialize(name.into_deserializer())?, self))
    }
}

impl<'de> VariantAccess<'de> for Variant<'de> {
    type Error = Error;

    fn unit_variant(self) -> Result<(), Error> {
        Ok(())
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Error> {
        seed.deserialize(self.content.unwrap_or(Field(&Value::Null)))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Error> {
        self.content
            .unwrap_or(Field(&Value::Null))
            .deserialize_any(visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.content
            .unwrap_or(Field(&Value::Null))
            .deserialize_any(visitor)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use serde::Deserialize;
    use serde_json::json;

    use super::*;

    fn of<T: DeserializeOwned>(value: Value) -> Result<T, String> {
        let Value::Object(params) = value else {
            panic!("parameters are an object");
        };
        read(&params).map_err(|error| error.to_string())
    }

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum End {
        Jpg,
        Other { name: String },
    }

    #[derive(Debug, PartialEq, Deserialize)]
    struct Id(u64);

    #[derive(Debug, PartialEq, Deserialize)]
    struct Form {
        id: Id,
        age: Option<u8>,
        #[serde(default)]
        terms: bool,
        #[serde(default)]
        tags: Vec<String>,
        end: Option<End>,
    }

    #[test]
    fn a_forms_texts_are_numbers_flags_and_lists() {
        let form = json!({ "id": "7", "age": "42", "terms": "on", "tags": "one", "end": "jpg" });
        let wanted = Form {
            id: Id(7),
            age: Some(42),
            terms: true,
            tags: vec!["one".to_owned()],
            end: Some(End::Jpg),
        };
        assert_eq!(of(form), Ok(wanted));
        let json = json!({ "id": 7, "tags": ["1", "2"], "end": { "other": { "name": "x" } } });
        let wanted = Form {
            id: Id(7),
            age: None,
            terms: false,
            tags: vec!["1".to_owned(), "2".to_owned()],
            end: Some(End::Other {
                name: "x".to_owned(),
            }),
        };
        assert_eq!(of(json), Ok(wanted));
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let missing = of::<Form>(json!({ "age": "42" })).expect_err("no id");
        assert_eq!(missing, "missing field `id`");
        let wrong = of::<Form>(json!({ "id": "x" })).expect_err("no number");
        assert!(wrong.contains("u64"), "{wrong}");
        of::<Form>(json!({ "id": "7", "age": "300" })).expect_err("too large");
        of::<Form>(json!({ "id": 7, "end": "png" })).expect_err("no such end");
        of::<Form>(json!({ "id": 7, "tags": 3 })).expect_err("no list");
    }

    #[test]
    fn everything_else_is_read_as_json_is() {
        let value = json!({ "a": [1, { "b": null }], "c": "3" });
        assert_eq!(of::<Value>(value.clone()), Ok(value.clone()));
        assert_eq!(of::<()>(json!({})), Ok(()));
        let texts = of::<HashMap<String, String>>(json!({ "a": "1" }));
        assert_eq!(texts, Ok(HashMap::from([("a".to_owned(), "1".to_owned())])));
    }
}
