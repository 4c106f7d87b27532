//! The kinds of attack, and how often each socket acts.

use clap::ValueEnum;

/// One bad thing to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    SlowHandshake,
    HugeHeaders,
    NeverReading,
    PingFlood,
    PongFlood,
    TinyChunks,
    UnfinishedMessage,
    HugeFrame,
    HalfFrame,
    ByteByByte,
    RegisterStorm,
    CancelStorm,
    UnknownRef,
    ReplayedChunks,
    ResumeGuessing,
    EventStorm,
    BadJson,
    DeepJson,
    BadUtf8,
    OversizedText,
    ConnectChurn,
    ResetChurn,
    CreditIgnoring,
    IdleUploads,
    LeftUploads,
    SilentSockets,
    StatusFlood,
    PresignRubbish,
    WebhookRubbish,
    DeflateOffers,
    LeftResumable,
    LeftRegistrations,
    EmptyFiles,
    HttpCreations,
    HttpBodies,
}

impl Kind {
    /// Returns how often each socket acts in a second.
    pub(crate) fn per_second(self) -> f64 {
        match self {
            Self::PingFlood | Self::PongFlood => 1000.0,
            Self::TinyChunks => 1000.0,
            Self::NeverReading
            | Self::RegisterStorm
            | Self::ResumeGuessing
            | Self::EventStorm
            | Self::BadJson
            | Self::UnknownRef
            | Self::UnfinishedMessage
            | Self::ByteByByte => 100.0,
            Self::CancelStorm => 50.0,
            Self::StatusFlood => 20.0,
            Self::ReplayedChunks | Self::CreditIgnoring => 8.0,
            Self::PresignRubbish | Self::WebhookRubbish | Self::DeepJson => 5.0,
            Self::BadUtf8 | Self::HugeFrame | Self::DeflateOffers => 5.0,
            Self::ConnectChurn | Self::ResetChurn => 5.0,
            Self::SlowHandshake | Self::HugeHeaders | Self::OversizedText => 2.0,
            Self::HalfFrame | Self::IdleUploads | Self::SilentSockets => 1.0,
            Self::LeftUploads | Self::LeftResumable => 0.1,
            Self::EmptyFiles => 200.0,
            Self::HttpCreations => 100.0,
            Self::LeftRegistrations => 10.0,
            Self::HttpBodies => 1.0,
        }
    }

    /// Says what one act is.
    pub(crate) fn what(self) -> &'static str {
        match self {
            Self::SlowHandshake => "a byte of a request that never ends",
            Self::HugeHeaders => "a request with 256 KiB of headers",
            Self::NeverReading => "an event with a long answer, and no answer is ever read",
            Self::PingFlood => "a ping with 125 bytes",
            Self::PongFlood => "a pong with 125 bytes",
            Self::TinyChunks => "a chunk with one byte",
            Self::UnfinishedMessage => "a fragment of 1 KiB that is never the last",
            Self::HugeFrame => "the head of a frame of 2^40 bytes, and 64 KiB of it",
            Self::HalfFrame => "a byte of a frame of 65,000 bytes",
            Self::ByteByByte => "a byte of a good registration",
            Self::RegisterStorm => "a registration, without end",
            Self::CancelStorm => "a registration, its first chunk and a cancel",
            Self::UnknownRef => "a chunk of 1 KiB for an upload that was not begun",
            Self::ReplayedChunks => "the first chunk of 64 KiB once more",
            Self::ResumeGuessing => "a resume of a guessed ref",
            Self::EventStorm => "an event without a handler",
            Self::BadJson => "a message that is no JSON",
            Self::DeepJson => "60 KB of opening brackets",
            Self::BadUtf8 => "a text that is no UTF-8",
            Self::OversizedText => "a text of 1 MiB",
            Self::ConnectChurn => "a connection that leaves at once",
            Self::ResetChurn => "a connection that is reset at once",
            Self::CreditIgnoring => "a chunk of 64 KiB, whatever the credit",
            Self::IdleUploads => "nothing, next to 16 uploads that were begun",
            Self::LeftUploads => "64 uploads begun and left",
            Self::LeftResumable => "64 resumable uploads begun and left",
            Self::LeftRegistrations => {
                "64 registrations of resumable uploads with 3 KiB of metadata, and left"
            }
            Self::EmptyFiles => "an empty file, registered and completed",
            Self::HttpCreations => "a creation of a tus upload",
            Self::HttpBodies => "a byte of a body that never ends",
            Self::SilentSockets => "nothing, after the upgrade",
            Self::StatusFlood => "a question for the status of a guessed ref",
            Self::PresignRubbish => "a body of 4 KiB to presign that is no JSON",
            Self::WebhookRubbish => "a webhook of 64 KiB with a wrong signature",
            Self::DeflateOffers => "an upgrade that offers compression, and a compressed frame",
        }
    }

    /// Tells whether the server rightly keeps writers parked for a while after it (PROTOCOL RESUME-3).
    pub(crate) fn leaves_parked(self) -> bool {
        matches!(self, Self::LeftResumable)
    }
}
