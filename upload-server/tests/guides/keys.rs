//! The reference of configuration keys: what they mean from the sources, defaults from the code.

use std::{collections::BTreeMap, fmt::Write, fs, path::Path};

use upload_server::config::{Config, SlotConfig};

use crate::debug::{self, Value};

/// A field of a struct.
struct Field {
    name: String,
    of: String,
    meaning: String,
    /// The function that makes its default, which `serde` calls.
    made_by: Option<String>,
}

/// The structs and enums of the configuration, as their sources have them.
#[derive(Default)]
pub(crate) struct Sources {
    structs: BTreeMap<String, Vec<Field>>,
    /// What `impl Default` writes for the fields of a struct, for those no instance is at hand of.
    defaults: BTreeMap<String, Vec<String>>,
    /// What functions without arguments return, those that make the default of one field among them.
    makers: BTreeMap<String, String>,
    enums: BTreeMap<String, Vec<String>>,
}

impl Sources {
    /// Reads `config.rs` and the files of `config/`.
    pub(crate) fn read(folder: &Path) -> Self {
        let mut files = vec![folder.join("config.rs")];
        let rooms = fs::read_dir(folder.join("config")).expect("the rooms of the configuration");
        files.extend(rooms.map(|entry| entry.expect("an entry").path()));
        let mut sources = Self::default();
        for file in files {
            if file.is_file() && !file.ends_with("tests.rs") {
                sources.take(&fs::read_to_string(file).expect("a source"));
            }
        }
        sources
    }

    fn take(&mut self, text: &str) {
        let mut lines = text.lines();
        while let Some(line) = lines.next() {
            let name = |rest: &str| rest.strip_suffix(" {").map(str::to_owned);
            let body = || text_until_brace(&mut lines.clone());
            if let Some(name) = line.strip_prefix("pub struct ").and_then(name) {
                self.structs.insert(name, fields(&body()));
            } else if let Some(name) = line.strip_prefix("pub enum ").and_then(name) {
                self.enums.insert(name, variants(&body()));
            } else if let Some(name) = line.strip_prefix("impl Default for ").and_then(name) {
                let lines = body().into_iter().map(|line| line.trim().to_owned());
                self.defaults.insert(name, lines.collect());
            } else if let Some((name, _)) = maker(line) {
                let value = body().first().map(|value| value.trim().to_owned());
                self.makers
                    .insert(name.to_owned(), value.unwrap_or_default());
            }
        }
    }

    /// Reads the default of a field from the source of its struct, or of the function that makes it.
    fn written_default(&self, of: &str, field: &Field) -> Option<String> {
        let begin = format!("{}: ", field.name);
        let mut lines = self.defaults.get(of).into_iter().flatten();
        let value = lines
            .find_map(|line| line.strip_prefix(&begin))
            .map(|value| value.trim_end_matches(','));
        let maker = field.made_by.as_ref();
        let value = value.or_else(|| Some(self.makers.get(maker?)?.as_str()));
        match value {
            Some(value) => self.written(&field.of, value),
            // What may be missing is none, unless the struct says otherwise.
            None => field.of.starts_with("Option<").then(|| "none".to_owned()),
        }
    }

    /// Writes the source of a value of this type as a configuration would.
    fn written(&self, of: &str, value: &str) -> Option<String> {
        if let Some((name, variant)) = value.split_once("::")
            && self.enums.contains_key(name)
        {
            return Some(format!("`\"{}\"`", snake(variant)));
        }
        let value = match value {
            "None" => return Some("none".to_owned()),
            // An address that is empty by default is refused, so it is needed.
            "String::new()" if of == "String" => return None,
            "Vec::new()" => "[]".to_owned(),
            value if value.starts_with("Time(") => {
                let seconds: String = value.chars().filter(char::is_ascii_digit).collect();
                format!("\"{seconds}s\"")
            }
            value => value.trim_start_matches("vec!").replace(".to_owned()", ""),
        };
        Some(format!("`{value}`")).filter(|value| !value.contains("::"))
    }

    /// Says what a value of this type is written as.
    fn kind(&self, of: &str) -> String {
        if let Some(variants) = self.enums.get(of) {
            let names = variants.iter().map(|name| format!("`\"{}\"`", snake(name)));
            return names.collect::<Vec<_>>().join(", ");
        }
        let inner = |outer: &str| of.strip_prefix(outer)?.strip_suffix('>');
        if let Some(inner) = inner("Option<") {
            return self.kind(inner);
        }
        if let Some(inner) = inner("Vec<") {
            return format!("list of {}", self.kind(inner));
        }
        match of {
            "SocketAddr" => "address and port",
            "PathBuf" => "path",
            "String" | "Secret" => "text",
            "bool" => "`true`, `false`",
            "u16" | "u32" | "u64" | "usize" => "number",
            "Time" => "seconds, or text with a unit",
            "Size" => "bytes, or text with a unit",
            other => panic!("tests/guides/keys.rs knows no word for values of type {other}"),
        }
        .to_owned()
    }
}

/// Writes the tables: one for each section.
pub(crate) fn reference(sources: &Sources, config: &Config, slot: &SlotConfig) -> String {
    let mut text = String::new();
    let defaults = debug::read(&format!("{config:?}"));
    section(&mut text, sources, "", "Config", Some(&defaults));
    let defaults = debug::read(&format!("{slot:?}"));
    section(
        &mut text,
        sources,
        "slots.NAME",
        "SlotConfig",
        Some(&defaults),
    );
    text
}

fn section(text: &mut String, sources: &Sources, path: &str, of: &str, defaults: Option<&Value>) {
    let heading = match path {
        "" => "At the top".to_owned(),
        path => format!("`[{path}]`"),
    };
    let (mut rows, mut below) = (String::new(), Vec::new());
    for field in &sources.structs[of] {
        let default = match defaults {
            Some(Value::Struct(fields)) => fields.get(&field.name),
            _ => None,
        };
        if let Some((inner, is_list)) = table_of(sources, &field.of) {
            below.push((field, inner, is_list, default));
            continue;
        }
        let kind = sources.kind(&field.of);
        let default = default
            .map(shown)
            .or_else(|| sources.written_default(of, field))
            .unwrap_or_else(|| "needed".to_owned());
        let _ = writeln!(
            rows,
            "| `{}` | {kind} | {default} | {} |",
            field.name, field.meaning
        );
    }
    if !rows.is_empty() {
        let _ = write!(
            text,
            "\n### {heading}\n\n| key | values | default | meaning |\n|---|---|---|---|\n{rows}"
        );
    }
    for (field, inner, is_list, default) in below {
        // Slots have names of their own and come last.
        if inner == "SlotConfig" {
            continue;
        }
        let path = match path {
            "" => field.name.clone(),
            path => format!("{path}.{}", field.name),
        };
        let path = if is_list { format!("[{path}]") } else { path };
        section(text, sources, &path, inner, default);
    }
}

/// Returns the struct a field holds, and whether it holds several of them.
fn table_of<'a>(sources: &Sources, of: &'a str) -> Option<(&'a str, bool)> {
    let (outer, inner) = match of.strip_suffix('>').and_then(|of| of.split_once('<')) {
        Some((outer, inner)) => (outer, inner.rsplit(", ").next().unwrap_or(inner)),
        None => ("", of),
    };
    sources
        .structs
        .contains_key(inner)
        .then_some((inner, outer == "Vec"))
}

/// Writes a default as a configuration would.
fn shown(default: &Value) -> String {
    match default {
        Value::Text(text) => format!("`\"{text}\"`"),
        Value::Word(word) if word == "None" => "none".to_owned(),
        Value::Word(word) if word.starts_with(char::is_uppercase) => {
            format!("`\"{}\"`", snake(word))
        }
        Value::Word(word) if word.contains(':') => format!("`\"{word}\"`"),
        Value::Word(word) => format!("`{word}`"),
        Value::Many(name, items) => match (name.as_str(), items.as_slice()) {
            ("Some", [inner]) => shown(inner),
            ("Size", [Value::Word(bytes)]) => size(bytes),
            ("Time", [Value::Word(time)]) => format!("`\"{time}\"`"),
            ("", []) => "`[]`".to_owned(),
            (_, items) => items.iter().map(shown).collect::<Vec<_>>().join(", "),
        },
        Value::Struct(_) => "see below".to_owned(),
    }
}

fn size(bytes: &str) -> String {
    const MIB: u64 = 1024 * 1024;
    match bytes.parse::<u64>() {
        Ok(bytes) if bytes >= MIB && bytes.is_multiple_of(MIB) => {
            format!("`\"{}MiB\"`", bytes / MIB)
        }
        _ => format!("`{bytes}`"),
    }
}

/// Splits the first line of a function without arguments into its name and what it returns.
fn maker(line: &str) -> Option<(&str, &str)> {
    line.strip_prefix("fn ")?.split_once("() -> ")
}

fn text_until_brace<'a>(lines: &mut impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    lines.take_while(|line| *line != "}").collect()
}

fn fields(body: &[&str]) -> Vec<Field> {
    let mut fields = Vec::new();
    let mut meaning = String::new();
    let mut made_by = None;
    for line in body.iter().map(|line| line.trim()) {
        if let Some(doc) = line.strip_prefix("///") {
            meaning.push_str(doc);
        } else if let Some(function) = line.strip_prefix("#[serde(default = \"") {
            made_by = function.strip_suffix("\")]").map(str::to_owned);
        } else if let Some((name, of)) = line.strip_prefix("pub ").and_then(|l| l.split_once(": "))
        {
            fields.push(Field {
                name: name.to_owned(),
                of: of.trim_end_matches(',').to_owned(),
                meaning: std::mem::take(&mut meaning).trim().replace('|', "\\|"),
                made_by: made_by.take(),
            });
        }
    }
    fields
}

fn variants(body: &[&str]) -> Vec<String> {
    let lines = body.iter().map(|line| line.trim());
    lines
        .filter(|line| line.starts_with(char::is_uppercase))
        .map(|line| line.trim_end_matches(',').to_owned())
        .collect()
}

fn snake(name: &str) -> String {
    let mut snake = String::new();
    for c in name.chars() {
        if c.is_uppercase() && !snake.is_empty() {
            snake.push('_');
        }
        snake.extend(c.to_lowercase());
    }
    snake
}
