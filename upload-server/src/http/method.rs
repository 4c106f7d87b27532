//! The method that a request means.

use http::{HeaderName, Method, request::Parts};

const METHOD_OVERRIDE: HeaderName = HeaderName::from_static("x-http-method-override");

/// Returns the method that is meant: firewalls let some of them pass only as a `POST`. `None` where the
/// request means one that does not exist here.
pub(crate) fn meant(parts: &Parts) -> Option<Method> {
    let Some(method) = parts.headers.get(METHOD_OVERRIDE) else {
        return Some(parts.method.clone());
    };
    if parts.method != Method::POST {
        return Some(parts.method.clone());
    }
    match method.as_bytes() {
        b"PATCH" => Some(Method::PATCH),
        b"DELETE" => Some(Method::DELETE),
        b"HEAD" => Some(Method::HEAD),
        b"POST" => Some(Method::POST),
        _ => None,
    }
}
