//! Cookies of a server and of balancers in front of it, as they are sent again: `name=value; name=value`.
//!
//! A balancer finds its server by its cookie, and the server its visitor by the session's, so each is kept by its name.

use std::time::{SystemTime, UNIX_EPOCH};

use axum_extra::extract::cookie::Cookie;

/// What the session's cookie is called without and with encryption; a server sets one of them.
const SESSION: [&str; 2] = ["upload_session", "__Host-upload_session"];

/// Cookies that are kept.
const COOKIES_MAX: usize = 8;

/// Bytes of all cookies together: what a server takes as one header.
const BYTES_MAX: usize = 4 * 1024;

const BETWEEN: &str = "; ";

/// Returns the cookies to send next, after an answer to `before` set those of `set`.
pub(super) fn after<'a>(
    before: Option<&str>,
    set: impl IntoIterator<Item = &'a str>,
) -> Option<String> {
    let before = before.into_iter().flat_map(|before| before.split(BETWEEN));
    let mut kept: Vec<String> = before.map(str::to_owned).collect();
    let set = set.into_iter().filter_map(|text| Cookie::parse(text).ok());
    for cookie in set {
        let name = cookie.name();
        let is_session = is_session(name);
        kept.retain(|pair| name_of(pair) != name && !(is_session && is_of_session(pair)));
        if !is_over(&cookie) {
            kept.push(format!("{name}={}", cookie.value()));
        }
    }
    // The session is the last to go, and before it the newest.
    while kept.len() > COOKIES_MAX || kept.join(BETWEEN).len() > BYTES_MAX {
        let oldest = kept.iter().position(|pair| !is_of_session(pair));
        kept.remove(oldest.unwrap_or(0));
    }
    (!kept.is_empty()).then(|| kept.join(BETWEEN))
}

/// Returns what of cookies tells owners apart: the session, or all of them where there is none.
pub(super) fn owner(cookies: Option<&str>) -> Option<&str> {
    let cookies = cookies?;
    let session = cookies.split(BETWEEN).find(|pair| is_of_session(pair));
    Some(session.unwrap_or(cookies))
}

fn name_of(pair: &str) -> &str {
    pair.split_once('=').map_or(pair, |(name, _)| name)
}

fn is_session(name: &str) -> bool {
    SESSION.contains(&name)
}

fn is_of_session(pair: &str) -> bool {
    is_session(name_of(pair))
}

/// Returns whether a cookie is set to be forgotten.
fn is_over(cookie: &Cookie<'_>) -> bool {
    if let Some(age) = cookie.max_age() {
        return !age.is_positive();
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now.map_or(0, |since| {
        i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
    });
    let end = cookie.expires_datetime();
    end.is_some_and(|end| end.unix_timestamp() <= now)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cookie_is_kept_by_its_name() {
        let first = ["SRV=a; Path=/", "upload_session=1; Max-Age=60; HttpOnly"];
        let kept = after(None, first);
        assert_eq!(kept.as_deref(), Some("SRV=a; upload_session=1"));
        assert_eq!(owner(kept.as_deref()), Some("upload_session=1"));
        let kept = after(kept.as_deref(), ["SRV=b"]);
        assert_eq!(kept.as_deref(), Some("upload_session=1; SRV=b"));
        let kept = after(kept.as_deref(), []);
        assert_eq!(kept.as_deref(), Some("upload_session=1; SRV=b"));
        let kept = after(kept.as_deref(), ["__Host-upload_session=2"]);
        assert_eq!(kept.as_deref(), Some("SRV=b; __Host-upload_session=2"));
        assert_eq!(after(None, ["", "no cookie", "=x"]), None);
        assert_eq!(owner(Some("sid=1; SRV=b")), Some("sid=1; SRV=b"));
    }

    #[test]
    fn what_is_over_is_forgotten() {
        for over in [
            "SRV=; Max-Age=0",
            "SRV=a; Max-Age=-1",
            "SRV=; Expires=Thu, 01 Jan 1970 00:00:00 GMT",
        ] {
            let kept = after(Some("SRV=a; upload_session=1"), [over]);
            assert_eq!(kept.as_deref(), Some("upload_session=1"), "{over}");
        }
        let later = "SRV=b; Expires=Thu, 01 Jan 2970 00:00:00 GMT";
        assert_eq!(after(None, [later]).as_deref(), Some("SRV=b"));
    }

    #[test]
    fn cookies_are_bounded_and_the_session_stays() {
        let mut kept = after(None, ["upload_session=1"]);
        for number in 0..100 {
            let set = format!("c{number}=1");
            kept = after(kept.as_deref(), [&*set]);
        }
        let kept = kept.expect("some");
        assert_eq!(kept.split(BETWEEN).count(), COOKIES_MAX);
        assert!(kept.starts_with("upload_session=1; c93=1; ") && kept.ends_with("; c99=1"));
        let large = format!("large={}", "x".repeat(BYTES_MAX));
        let kept = after(Some(&kept), [&*large]);
        assert_eq!(kept.as_deref(), Some("upload_session=1"));
        assert_eq!(after(None, [&*large]), None);
    }
}
