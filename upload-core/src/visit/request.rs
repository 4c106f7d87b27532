//! What requests ask for.

use upload_proto::Register;

/// The host's number for a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RequestId(pub u64);

/// What a request asks for.
#[derive(Clone, Debug, PartialEq)]
pub enum Request {
    /// Register the upload, and append the content that comes along. It ends as that content says; without any, with
    /// its last byte.
    Create(Box<Register>, Option<Content>),
    /// Append content.
    Append(Content),
    /// Tell how far the upload has come. With [`Ends::AtLength`], a file of which every byte is here
    /// is stored first: clients take the whole length for success.
    /// [`Ends::AsBegun`] leaves it to what the upload began with.
    Offset(Ends),
    /// End the upload without a file.
    Delete,
}

impl Request {
    /// Returns whether an upload that begins with it is whole only once its client says so. That of a request that
    /// brings all or nothing is not: no other request can say so.
    pub(super) fn begins_by_word(&self) -> bool {
        match self {
            Self::Create(_, Some(content)) => {
                content.ends != Ends::AtLength && content.broken == Broken::Keep
            }
            Self::Create(_, None) | Self::Append(_) | Self::Offset(_) | Self::Delete => false,
        }
    }

    /// Returns whether nothing is kept unless all of its content comes: its client cannot name the upload.
    pub fn is_all_or_nothing(&self) -> bool {
        let content = match self {
            Self::Create(_, content) => content.as_ref(),
            Self::Append(content) => Some(content),
            Self::Offset(_) | Self::Delete => None,
        };
        content.is_some_and(|content| content.broken == Broken::Cancel)
    }
}

/// The content of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Content {
    /// Where it belongs, in bytes from the beginning of the file.
    pub at: u64,
    /// How long it is, where the request says so.
    pub length: Option<u64>,
    /// How long the file is, where the request says so and it was not known.
    pub declares: Option<u64>,
    /// The CRC32C of the whole file, where the request ends it and says so.
    pub crc32c: Option<u32>,
    /// Whether the file ends with it.
    pub ends: Ends,
    /// What becomes of the upload where the content breaks off.
    pub broken: Broken,
}

/// When a file is complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ends {
    /// As soon as every declared byte is here, whatever becomes of the request (tus).
    AtLength,
    /// With this content, if all of it came; a file that is too long is refused.
    Here,
    /// Not with this content; a file that is too long is refused.
    Later,
    /// As the upload began: at its length, or else when its client says so.
    AsBegun,
}

/// What becomes of an upload whose content breaks off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken {
    /// What came is kept.
    Keep,
    /// It is cancelled.
    Cancel,
}

/// How the content of a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContentEnd {
    /// All of it came.
    Whole,
    /// The client is gone.
    Broken,
    /// Nothing came for too long.
    TimedOut,
    /// All of it came, and is not what the client said it is.
    Wrong,
    /// The host held it back, and does not append it.
    Discarded,
}

/// What becomes of a piece of content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// It was appended, and more may come.
    More,
    /// Nothing more of this request is wanted.
    Enough,
}

/// A registration as its client sent it, by what tells it from another one of its ref (CTRL-4).
#[derive(Debug)]
pub(super) struct Registered {
    slot: String,
    client_name: String,
    client_type: String,
    client_size: Option<u64>,
}

impl Registered {
    pub(super) fn by(register: &Register) -> Self {
        Self {
            slot: register.upload_name.clone(),
            client_name: register.client_name.clone(),
            client_type: register.client_type.clone(),
            client_size: register.client_size,
        }
    }

    /// Returns whether a registration asks for the very same.
    pub(super) fn is_same(&self, register: &Register) -> bool {
        self.slot == register.upload_name
            && self.client_name == register.client_name
            && self.client_type == register.client_type
            && self.client_size == register.client_size
    }
}
