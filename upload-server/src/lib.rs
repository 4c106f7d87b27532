//! Resumable uploads for axum over WebSocket: a router to mount, a browser client, a ready binary.
