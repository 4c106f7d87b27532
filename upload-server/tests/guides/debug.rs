//! Values as `{:?}` writes them, read back: the defaults of a configuration without a serializer.

use std::{collections::BTreeMap, iter::Peekable, str::Chars};

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    /// A number, a name without fields, an address.
    Word(String),
    Text(String),
    Struct(BTreeMap<String, Value>),
    /// A list, a map, or a name with unnamed fields.
    Many(String, Vec<Value>),
}

/// Reads what `{:?}` wrote.
pub(crate) fn read(debug: &str) -> Value {
    value(&mut debug.chars().peekable())
}

fn value(rest: &mut Peekable<Chars<'_>>) -> Value {
    skip(rest, ' ');
    if rest.peek() == Some(&'"') {
        return Value::Text(text(rest));
    }
    let word = word(rest, |c| !" ,()[]{}".contains(c));
    if rest.clone().take(2).eq([' ', '{']) {
        rest.next();
        return fields(rest);
    }
    let end = match rest.peek() {
        Some('(') => ')',
        Some('[') => ']',
        Some('{') => '}',
        _ => return Value::Word(word),
    };
    rest.next();
    let mut items = Vec::new();
    while !closed(rest, end) {
        items.push(value(rest));
    }
    Value::Many(word, items)
}

fn fields(rest: &mut Peekable<Chars<'_>>) -> Value {
    rest.next();
    let mut fields = BTreeMap::new();
    while !closed(rest, '}') {
        let name = word(rest, |c| c != ':');
        rest.next();
        fields.insert(name, value(rest));
    }
    Value::Struct(fields)
}

/// Skips what separates items; answers whether `end` was next, and takes it.
fn closed(rest: &mut Peekable<Chars<'_>>, end: char) -> bool {
    skip(rest, ',');
    skip(rest, ' ');
    let next = rest.peek().expect("a bracket closes");
    let is_end = *next == end;
    if is_end {
        rest.next();
    }
    is_end
}

fn skip(rest: &mut Peekable<Chars<'_>>, what: char) {
    while rest.next_if_eq(&what).is_some() {}
}

fn word(rest: &mut Peekable<Chars<'_>>, is_part: impl Fn(char) -> bool) -> String {
    let mut word = String::new();
    while let Some(c) = rest.next_if(|c| is_part(*c)) {
        word.push(c);
    }
    word
}

fn text(rest: &mut Peekable<Chars<'_>>) -> String {
    rest.next();
    let mut text = String::new();
    while let Some(c) = rest.next() {
        match c {
            '"' => return text,
            '\\' => text.extend(rest.next()),
            c => text.push(c),
        }
    }
    panic!("a text ends");
}

#[test]
fn values_are_read_back() {
    #[derive(Debug)]
    #[expect(dead_code, reason = "only its text is looked at")]
    struct Outer {
        at: std::net::SocketAddr,
        none: Option<u8>,
        some: Option<u8>,
        list: Vec<String>,
        inner: Inner,
        empty: BTreeMap<u8, u8>,
    }
    #[derive(Debug)]
    #[expect(dead_code, reason = "only its text is looked at")]
    struct Inner {
        text: &'static str,
    }
    let debug = format!(
        "{:?}",
        Outer {
            at: ([127, 0, 0, 1], 80).into(),
            none: None,
            some: Some(5),
            list: vec!["a, \"b\"".to_owned()],
            inner: Inner { text: "./x" },
            empty: BTreeMap::new(),
        }
    );
    let Value::Struct(outer) = read(&debug) else {
        panic!("a struct");
    };
    let word = |text: &str| Value::Word(text.to_owned());
    assert_eq!(outer["at"], word("127.0.0.1:80"));
    assert_eq!(outer["none"], word("None"));
    assert_eq!(
        outer["some"],
        Value::Many("Some".to_owned(), vec![word("5")])
    );
    let list = vec![Value::Text("a, \"b\"".to_owned())];
    assert_eq!(outer["list"], Value::Many(String::new(), list));
    let text = Value::Text("./x".to_owned());
    assert_eq!(
        outer["inner"],
        Value::Struct([("text".to_owned(), text)].into())
    );
    assert_eq!(outer["empty"], Value::Many(String::new(), Vec::new()));
}
