//! The slots of the scripted host, and the connection that may use them.

use std::sync::Arc;

use upload_core::{Holder, Screen, SessionConfig, SessionLimits, SlotRules};
use upload_proto::Code;

/// Refuses names that end in `.exe` and types that are `text/html`.
struct NoPrograms;

impl Screen for NoPrograms {
    fn screen(&self, client_name: &str, client_type: &str) -> Result<(), Code> {
        if client_type == "text/html" {
            return Err(Code::ActiveContent);
        }
        if client_name.ends_with(".exe") {
            return Err(Code::TypeNotAccepted);
        }
        Ok(())
    }
}

/// Returns the rules of a slot of small things: chunks of 4 bytes, files of at
/// most 100, a gate of 4.
fn slot(name: &str, resumable: bool) -> SlotRules {
    SlotRules {
        max_entries: 4,
        max_file_size: 100,
        chunk_size: 4,
        head_bytes: 4,
        resumable,
        shared_store: true,
        screen: Arc::new(NoPrograms),
        ..SlotRules::new(name)
    }
}

/// Returns the configuration of a connection.
///
/// Slot `file` forgets, `keep` can be resumed, `stay` also when the tab is closed, and `one` takes one file.
/// `ask` asks the application, and so does `mind`, which can be resumed.
pub(crate) fn config(session: u64) -> SessionConfig {
    let one = SlotRules {
        max_entries: 1,
        ..slot("one", false)
    };
    let stay = SlotRules {
        keep_on_leave: true,
        ..slot("stay", true)
    };
    let ask = SlotRules {
        authorize: true,
        ..slot("ask", false)
    };
    let mind = SlotRules {
        authorize: true,
        ..slot("mind", true)
    };
    let slots = [
        slot("file", false),
        slot("keep", true),
        one,
        stay,
        ask,
        mind,
    ];
    SessionConfig {
        slots: slots
            .into_iter()
            .map(|slot| (slot.name.clone(), Arc::new(slot)))
            .collect(),
        plain: false,
        holder: Holder {
            boot: "here".into(),
            session,
        },
        tally: Arc::default(),
        limits: SessionLimits {
            window_bytes: 16,
            window_bytes_max: 16,
            ..SessionLimits::default()
        },
        checksum: true,
        announces: false,
    }
}

/// Has every slot take chunks of 16 bytes.
pub(crate) fn wide(config: &mut SessionConfig) {
    for slot in config.slots.values_mut() {
        Arc::make_mut(slot).chunk_size = 16;
    }
}
