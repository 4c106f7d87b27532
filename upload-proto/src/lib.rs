//! Frames and messages of the chunked upload protocol: a zero-copy codec.
