//! Who may come in where no slot is named, and which keys are guessed.

use std::net::SocketAddr;

use figment::{
    Figment,
    providers::{Format, Toml},
};

use crate::config::{Config, ConfigError};

fn read(toml: &str) -> Result<Config, ConfigError> {
    Config::read(&Figment::new().merge(Toml::string(toml)))
}

/// Slots that were not named make no server that is open to all.
#[test]
fn without_a_slot_only_this_machine_comes_in() {
    let public = "listen = \"0.0.0.0:80\"\n";
    assert!(
        read("listen = \"[::1]:80\"")
            .expect("for trying")
            .has_demo()
    );
    let error = read(public).expect_err("open to all").to_string();
    assert!(error.starts_with("slots: none is named"), "{error}");
    for asked in ["demo = true", "[slots.a]"] {
        read(&format!("{public}{asked}")).expect("asked for");
    }
    let mut config = read("").expect("for trying");
    assert!(config.listen_on(([127, 0, 0, 1], 1).into()).is_ok());
    assert!(config.listen_on(([192, 0, 2, 1], 1).into()).is_err());
    let ports = |hosts: &[[u8; 4]]| -> Vec<SocketAddr> {
        let ports = hosts.iter().map(|host| SocketAddr::from((*host, 80)));
        ports.collect()
    };
    config.inherited = ports(&[[127, 0, 0, 1], [127, 0, 0, 2]]);
    assert!(config.check_openness().is_ok());
    config.inherited = ports(&[[127, 0, 0, 1], [0, 0, 0, 0]]);
    assert!(config.check_openness().is_err(), "one of them is open");
    let mut demo = Config::demo();
    assert!(demo.has_demo() && demo.listen_on(([0, 0, 0, 0], 1).into()).is_ok());
}

#[test]
fn a_misspelt_key_is_guessed() {
    for (toml, meant) in [
        ("listn = 1", "did you mean listen?"),
        (
            "[limits]\nmax_conections = 1",
            "did you mean max_connections?",
        ),
        ("[slots.a]\nmax_filesize = 1", "did you mean max_file_size?"),
        ("colour = 1", "known here: listen"),
    ] {
        let error = read(toml).expect_err(toml).to_string();
        assert!(error.contains(meant), "{error}");
    }
}
