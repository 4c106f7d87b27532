//! Where uploaded bytes are kept: the writer contract, a durable file writer, buffered parts.
