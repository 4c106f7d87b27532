//! Every target over its corpus, in every run of the tests.

use upload_fuzz::{TARGETS, seeds};

#[test]
fn no_known_input_breaks_a_promise() {
    for target in TARGETS {
        let inputs = seeds(target).expect("a corpus that can be read");
        assert!(
            inputs.len() >= 10,
            "{} has a corpus of {}",
            target.name,
            inputs.len()
        );
        for input in inputs {
            (target.run)(&input);
        }
    }
}
