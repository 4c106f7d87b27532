//! The variables that override the file: which are keys, and which slots they are about.

use figment::{Figment, providers::Env, value::Value};

use super::ConfigError;

/// What they begin with.
const PREFIX: &str = "UPLOAD_";

/// The variable of the command line that is no key.
const CONFIG: &str = "config";

/// Beginnings of variables that are not ours: Kubernetes sets such ones in every container beside a
/// service named `upload` or `upload-server`.
const FOREIGN: &[&str] = &["service_", "port", "server_"];

/// What the keys of slots begin with.
const SLOTS: &str = "slots.";

/// Returns the variables as keys. Names of variables have neither small letters nor `-`, so the slot that is
/// meant is found among those of the file.
///
/// # Errors
///
/// The file names slots, and a variable is about none of them: it would make another one, without the limits
/// that the file gives.
pub(super) fn read(file: &Figment) -> Result<Env, ConfigError> {
    let slots = slots_of(file);
    let named = slots.clone();
    let variables = Env::prefixed(PREFIX)
        .filter(|name| is_key(name.as_str()))
        .split("__")
        .map(move |key| key_of(key.as_str(), &named).into())
        .lowercase(false);
    if !slots.is_empty() {
        check(&variables, &slots)?;
    }
    Ok(variables)
}

fn slots_of(file: &Figment) -> Vec<String> {
    let slots = file.find_value("slots").ok().and_then(Value::into_dict);
    slots.map_or_else(Vec::new, |slots| slots.into_keys().collect())
}

/// Returns whether the rest of a variable's name is meant as a key.
fn is_key(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let is_foreign = FOREIGN.iter().any(|begin| name.starts_with(begin));
    name != CONFIG && !is_foreign
}

/// Returns the key that a variable names, in which a slot has the name that the file gives it.
fn key_of(variable: &str, slots: &[String]) -> String {
    let key = variable.to_ascii_lowercase();
    let in_file = split(&key).and_then(|(slot, rest)| {
        let name = meant(slot, slots)?;
        Some(format!("{SLOTS}{name}{rest}"))
    });
    in_file.unwrap_or(key)
}

/// Splits the key of a slot into the slot's name and what follows it.
fn split(key: &str) -> Option<(&str, &str)> {
    let rest = key.strip_prefix(SLOTS)?;
    Some(rest.split_at(rest.find('.').unwrap_or(rest.len())))
}

/// Returns the slot of this very name, or else the only one whose name differs in capitals and `-` alone.
fn meant<'a>(name: &str, slots: &'a [String]) -> Option<&'a str> {
    let plain = |name: &str| name.to_ascii_lowercase().replace('-', "_");
    let exact = slots.iter().find(|slot| *slot == name);
    let mut alike = slots.iter().filter(|slot| plain(slot) == plain(name));
    let only = alike.next().filter(|_| alike.next().is_none());
    exact.or(only).map(String::as_str)
}

/// Checks that variables are about slots that there are.
fn check(variables: &Env, slots: &[String]) -> Result<(), ConfigError> {
    for (key, _) in variables.iter() {
        let key = key.as_str();
        let Some((name, _)) = split(key) else {
            continue;
        };
        if !slots.iter().any(|slot| slot == name) {
            let variable = key.replace('.', "__").to_ascii_uppercase();
            let slots = slots.join(", ");
            let why = format!("{PREFIX}{variable} has to be about one slot of the file: {slots}");
            return Err(ConfigError::invalid(&format!("{SLOTS}{name}"), why));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_have_the_names_of_the_file() {
        let slots = ["my-video", "Docs", "a-b", "a_b", "A-C", "a-c"].map(str::to_owned);
        for (variable, key) in [
            ("LISTEN", "listen"),
            ("SLOTS", "slots"),
            ("STATE.REDIS_URL", "state.redis_url"),
            ("SLOTS.MY_VIDEO.TITLE", "slots.my-video.title"),
            ("SLOTS.my-video.S3.BUCKET", "slots.my-video.s3.bucket"),
            ("SLOTS.DOCS", "slots.Docs"),
            ("SLOTS.A_B.RESUMABLE", "slots.a_b.resumable"),
            ("SLOTS.A_C.RESUMABLE", "slots.a_c.resumable"),
            ("SLOTS.OTHER.RESUMABLE", "slots.other.resumable"),
        ] {
            assert_eq!(key_of(variable, &slots), key, "{variable}");
        }
        assert_eq!(key_of("SLOTS.MY_VIDEO.TITLE", &[]), "slots.my_video.title");
    }

    #[test]
    fn variables_of_others_are_no_keys() {
        for name in ["CONFIG", "SERVICE_HOST", "PORT_80_TCP", "SERVER_PORT"] {
            assert!(!is_key(name), "{name}");
        }
        assert!(is_key("LISTEN"));
    }
}
