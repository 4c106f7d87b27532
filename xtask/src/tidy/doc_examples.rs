//! Each public method of a builder, and each type that a handler takes or returns, has an example in its documentation.

use super::Findings;
use crate::tree::TextFile;

/// Where the library is that applications write against.
const LIBRARY: &str = "upload-server/src/";
/// The types of which every public method has an example.
const BUILDERS: [&str; 2] = ["UploadsBuilder", "SlotOptions"];
/// What handlers take, hold and return.
const OF_HANDLERS: [&str; 17] = [
    "Argument",
    "AuthorizeRequest",
    "CompletedEntry",
    "ConnectionSlots",
    "Entries",
    "EventContext",
    "EventReply",
    "Handler",
    "HandlerError",
    "IntoHandlerError",
    "LentUpload",
    "ObjectCreated",
    "Owner",
    "Params",
    "Submitted",
    "UploadedEntry",
    "UploadsHandle",
];

pub(super) fn check(tree: &[TextFile], findings: &mut Findings) {
    let mut items = Vec::new();
    for file in tree {
        if file.path.starts_with(LIBRARY) && file.is(".rs") {
            items.extend(items_of(file));
        }
    }
    for item in &items {
        findings.checked += 1;
        if !item.has_example {
            findings.error(format!(
                "{} has no example in its documentation: {}",
                item.name, item.path
            ));
        }
    }
    for wanted in OF_HANDLERS {
        if !items.iter().any(|item| item.name == wanted) {
            findings.error(format!(
                "{LIBRARY} has no public type {wanted}, of which an example is wanted"
            ));
        }
    }
    for builder in BUILDERS {
        if !items.iter().any(|item| {
            item.name
                .strip_prefix(builder)
                .is_some_and(|it| it.starts_with("::"))
        }) {
            findings.error(format!(
                "{LIBRARY} has no public method of {builder}, of which examples are wanted"
            ));
        }
    }
}

/// What an example is wanted of.
struct Item<'a> {
    path: &'a str,
    /// As `Type` or `Type::method`.
    name: String,
    has_example: bool,
}

/// Returns the items of a file of which an example is wanted.
fn items_of(file: &TextFile) -> Vec<Item<'_>> {
    let mut items = Vec::new();
    let mut builder = None;
    let (mut has_example, mut is_hidden, mut is_attribute) = (false, false, false);
    for line in file.text.lines() {
        let text = line.trim_start();
        if line == "}" {
            builder = None;
        } else if line.starts_with("impl") {
            builder = builder_of(line);
        }
        if let Some(documentation) = text.strip_prefix("///") {
            has_example |= documentation.trim_start().starts_with("```");
            continue;
        }
        if is_attribute || text.starts_with('#') {
            is_attribute = !text.ends_with(']');
            is_hidden |= text == "#[doc(hidden)]";
            continue;
        }
        let name = match builder {
            Some(builder) => method(text).map(|method| format!("{builder}::{method}")),
            None => type_of(line).map(str::to_owned),
        };
        if let Some(name) = name.filter(|_| !is_hidden) {
            items.push(Item {
                path: &file.path,
                name,
                has_example,
            });
        }
        (has_example, is_hidden) = (false, false);
    }
    items
}

/// Returns the builder whose own methods a block has.
fn builder_of(line: &str) -> Option<&'static str> {
    if line.contains(" for ") {
        return None;
    }
    let mut words = line.split(|ch: char| !ch.is_alphanumeric() && ch != '_');
    words.find_map(|word| BUILDERS.into_iter().find(|builder| *builder == word))
}

/// Returns the name of the public function that a line declares.
fn method(line: &str) -> Option<&str> {
    let rest = line.strip_prefix("pub ")?;
    let (_, rest) = rest.split_once("fn ").filter(|(before, _)| {
        before
            .split_whitespace()
            .all(|word| ["async", "const"].contains(&word))
    })?;
    name(rest)
}

/// Returns the name of the public type of handlers that a line declares.
fn type_of(line: &str) -> Option<&str> {
    let rest = line.strip_prefix("pub ")?;
    let rest = ["struct ", "enum ", "trait "]
        .into_iter()
        .find_map(|kind| rest.strip_prefix(kind))?;
    name(rest).filter(|name| OF_HANDLERS.contains(name))
}

fn name(rest: &str) -> Option<&str> {
    rest.split(|ch: char| !ch.is_alphanumeric() && ch != '_')
        .next()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "\
/// Options.
pub struct SlotOptions {
    pub(crate) rules: Rules,
}

impl SlotOptions {
    /// Accepts.
    ///
    /// ```
    /// accept();
    /// ```
    #[must_use]
    pub fn accept(mut self, list: &str) -> Self {
        self
    }

    pub(crate) fn inner(&self) {}

    #[doc(hidden)]
    pub fn hidden(&self) {}
}

impl<S> UploadsBuilder<S>
where
    S: Clone,
{
    /// Builds.
    ///
    /// ```no_run
    /// build();
    /// ```
    pub async fn build(self) {}
}

impl fmt::Debug for SlotOptions {
    fn fmt(&self) {}
}
";

    fn errors(text: &str) -> Vec<String> {
        let file = |path: &str, text: &str| TextFile {
            path: format!("{LIBRARY}{path}"),
            text: text.to_owned(),
        };
        let types = OF_HANDLERS.map(|name| format!("/// ```\n/// x();\n/// ```\n#[derive(\n    Debug,\n    Clone,\n)]\npub struct {name}<T>(T);\n"));
        let tree = [file("app.rs", text), file("types.rs", &types.concat())];
        let mut findings = Findings::default();
        check(&tree, &mut findings);
        findings.errors
    }

    #[test]
    fn what_has_examples_passes() {
        assert_eq!(errors(GOOD), [""; 0]);
    }

    #[test]
    fn a_method_without_an_example_is_named() {
        for (find, name) in [
            ("accept();", "SlotOptions::accept"),
            ("build();", "UploadsBuilder::build"),
        ] {
            let start = GOOD.find(find).unwrap();
            let (before, after) = GOOD.split_at(start);
            let before = before.rsplit_once("```").unwrap().0;
            let after = after.split_once("```").unwrap().1;
            let found = errors(&format!("{before}{after}"));
            let wanted = format!("{name} has no example in its documentation: {LIBRARY}app.rs");
            assert_eq!(found, [wanted]);
        }
        // The example of the method above is not its own.
        let more = GOOD.replace("    pub(crate) fn inner", "    pub fn inner");
        assert_eq!(errors(&more).len(), 1, "{:?}", errors(&more));
    }

    #[test]
    fn a_type_without_an_example_is_named() {
        let found = errors(&format!(
            "{GOOD}\n/// What a handler holds.\npub struct LentUpload;\n"
        ));
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(
            found[0].starts_with("LentUpload has no example"),
            "{found:?}"
        );
    }

    #[test]
    fn what_is_wanted_has_to_be_there() {
        assert!(
            errors("")
                .iter()
                .any(|error| error.contains("no public method of SlotOptions"))
        );
    }
}
