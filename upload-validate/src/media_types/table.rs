//! The table of extensions and types, read once from the text that `cargo xtask tidy --write` makes.

use std::{
    collections::{HashMap, HashSet},
    sync::LazyLock,
};

use super::Types;

/// Everything that is known of extensions and types.
pub(super) static TABLE: LazyLock<Table> =
    LazyLock::new(|| Table::parse(include_str!("table.txt")));

/// What the text says, by what is looked for.
#[derive(Debug, Default)]
pub(super) struct Table {
    /// The types of each extension.
    pub(super) extensions: HashMap<&'static str, Types>,
    /// The types that are some extension's own.
    pub(super) types: HashSet<&'static str>,
    /// The canonical name of each type that has several.
    pub(super) names: HashMap<&'static str, &'static str>,
}

impl Table {
    /// Reads `EXTENSION TYPES | TYPES` and `= TYPE NAMES`, a line each.
    fn parse(text: &'static str) -> Table {
        let mut table = Table::default();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let (own, declared) = line.split_once('|').unwrap_or((line, ""));
            let mut words = own.split_ascii_whitespace();
            match words.next() {
                Some("=") => {
                    let name = words.next().unwrap_or_default();
                    table.names.extend(words.map(|alias| (alias, name)));
                }
                Some(extension) => {
                    let types = Types {
                        own: words.collect(),
                        declared: declared.split_ascii_whitespace().collect(),
                    };
                    table.types.extend(types.own.iter().copied());
                    table.extensions.insert(extension, types);
                }
                None => {}
            }
        }
        table
    }
}
