//! One bad input and the one right answer to it.

use std::collections::HashSet;

use serde_json::Value;

/// The ref of all text and frames that name an upload nobody holds.
pub const REF: &str = "aabbccdd-eeff-4011-8233-445566778899";

/// The ref of the upload that the abusing connection itself holds.
pub const LIVE: &str = "11223344-5566-4788-99aa-bbccddeeff00";

/// What is sent.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Input {
    Binary(Vec<u8>),
    Text(String),
    /// A whole request on a connection of its own.
    Http(Vec<u8>),
    /// Bytes after a WebSocket handshake, on a connection of its own.
    Raw(Vec<u8>),
}

/// What must come back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Right {
    /// One message of this `type`, with this `code` (or, of a resume, `status`), naming this ref.
    Message {
        kind: &'static str,
        code: &'static str,
        upload: Option<&'static str>,
    },
    /// The file is taken, under a safe form of its name.
    Stored(&'static str),
    /// This status; and, where given, this body, or a JSON body with this code.
    Status(u16, Body),
    /// The socket is closed with this code.
    Close(u16),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    Any,
    Text(&'static str),
    Code(&'static str),
}

impl Right {
    /// A refused registration (MSG-1).
    pub fn refused(code: &'static str) -> Self {
        Self::Message {
            kind: "upload_progress",
            code,
            upload: Some(REF),
        }
    }

    /// Trouble that is not about an upload the connection holds.
    pub fn error(code: &'static str, upload: Option<&'static str>) -> Self {
        Self::Message {
            kind: "error",
            code,
            upload,
        }
    }

    /// A request refused with a code.
    pub fn http(status: u16, code: &'static str) -> Self {
        Self::Status(status, Body::Code(code))
    }

    /// Whether a message is this answer.
    pub fn is(&self, message: &Value) -> bool {
        match self {
            Self::Message { kind, code, upload } => {
                let field = if *kind == "upload_resumed" {
                    "status"
                } else {
                    "code"
                };
                message["type"] == *kind
                    && message[field] == *code
                    && message.get("ref").and_then(Value::as_str) == *upload
            }
            Self::Stored(name) => {
                let path = message["result"]["path"].as_str().unwrap_or_default();
                // `<slot>/<uuid>-<name>`
                let stored = path.split_once('/').and_then(|(_, file)| file.get(37..));
                message["status"] == "complete" && stored == Some(*name)
            }
            Self::Status(..) | Self::Close(_) => false,
        }
    }

    /// Whether a response is this answer.
    pub fn is_response(&self, status: u16, body: &str) -> bool {
        let Self::Status(right, content) = self else {
            return false;
        };
        let code = || -> Option<String> {
            let body: Value = serde_json::from_str(body).ok()?;
            Some(body["code"].as_str()?.to_owned())
        };
        *right == status
            && match content {
                Body::Any => true,
                Body::Text(text) => body == *text,
                Body::Code(right) => code().as_deref() == Some(*right),
            }
    }
}

/// A list of inputs, each there once.
#[derive(Default)]
pub struct Table {
    pub cases: Vec<(Input, Right)>,
    seen: HashSet<Input>,
}

impl Table {
    /// Adds an input unless it is there.
    pub fn add(&mut self, input: Input, right: Right) {
        if self.seen.insert(input.clone()) {
            self.cases.push((input, right));
        }
    }

    pub fn text(&mut self, text: impl Into<String>, right: Right) {
        self.add(Input::Text(text.into()), right);
    }

    pub fn len(&self) -> usize {
        self.cases.len()
    }
}

/// A message whose fields can be anything, as they stand in its text.
#[derive(Clone)]
pub struct Fields(Vec<(String, String)>);

impl Fields {
    /// A registration that would be taken by the slot `png`.
    pub fn registration() -> Self {
        Self::of(&[
            ("type", "\"upload_register\""),
            ("ref", &format!("\"{REF}\"")),
            ("upload_name", "\"png\""),
            ("client_name", "\"photo.png\""),
            ("client_type", "\"image/png\""),
            ("client_size", "500"),
        ])
    }

    pub fn resume() -> Self {
        Self::of(&[
            ("type", "\"upload_resume\""),
            ("ref", &format!("\"{REF}\"")),
        ])
    }

    pub fn event() -> Self {
        Self::of(&[("type", "\"event\""), ("event", "\"save\""), ("id", "7")])
    }

    pub fn of(fields: &[(&str, &str)]) -> Self {
        let owned = |(name, raw): &(&str, &str)| ((*name).to_owned(), (*raw).to_owned());
        Self(fields.iter().map(owned).collect())
    }

    /// Replaces or adds a field.
    pub fn with(mut self, name: &str, raw: impl Into<String>) -> Self {
        match self.0.iter_mut().find(|(known, _)| known == name) {
            Some((_, old)) => *old = raw.into(),
            None => self.0.push((name.to_owned(), raw.into())),
        }
        self
    }

    /// Adds a field even if it is there.
    pub fn and(mut self, name: &str, raw: impl Into<String>) -> Self {
        self.0.push((name.to_owned(), raw.into()));
        self
    }

    pub fn without(mut self, name: &str) -> Self {
        self.0.retain(|(known, _)| known != name);
        self
    }

    pub fn text(&self) -> String {
        let fields: Vec<_> = self
            .0
            .iter()
            .map(|(name, raw)| format!("\"{name}\":{raw}"))
            .collect();
        format!("{{{}}}", fields.join(","))
    }
}
