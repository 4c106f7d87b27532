//! Where resume records live: memory, an embedded database, Redis.
