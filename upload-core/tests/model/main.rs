//! A session against a reference that is small enough to be seen to be right.
//!
//! `Op` does not know who makes it: here it is proptest, in the fuzzer it is bytes.

mod bench;
mod op;
mod reference;

use proptest::{collection::vec, prelude::*};

use bench::Bench;
use op::Op;

fn op() -> impl Strategy<Value = Op> {
    let n = || 1..=3u8;
    prop_oneof![
        2 => (n(), 0..=40u8).prop_map(|(n, size)| Op::Register { n, size }),
        8 => (n(), prop_oneof![8 => Just(0), 1 => -2..=3i8], 0..=12u8)
            .prop_map(|(n, skip, length)| Op::Chunk { n, skip, length }),
        2 => (n(), proptest::option::of(prop::bool::weighted(0.9)))
            .prop_map(|(n, checksum)| Op::Complete { n, checksum }),
        1 => n().prop_map(|n| Op::Cancel { n }),
        1 => Just(Op::BadFrame),
        4 => (n(), prop::bool::weighted(0.9)).prop_map(|(n, accept)| Op::Judge { n, accept }),
        8 => (n(), prop::bool::weighted(0.97)).prop_map(|(n, works)| Op::Writer { n, works }),
        1 => (0..=80u8).prop_map(|bytes| Op::Window { bytes }),
        1 => (0..=400u16).prop_map(|ms| Op::Pass { ms }),
        1 => Just(Op::Consume),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    /// CHUNK-1 to CHUNK-7, COMPLETE-1 to COMPLETE-6, CTRL-3, CREDIT-1 to
    /// CREDIT-3: a modern client's session does what the reference does.
    #[test]
    fn a_session_does_what_the_reference_does(ops in vec(op(), 1..120)) {
        run(false, &ops);
    }

    /// The same for a plain client.
    #[test]
    fn a_plain_session_does_what_the_reference_does(ops in vec(op(), 1..120)) {
        run(true, &ops);
    }
}

fn run(plain: bool, ops: &[Op]) {
    let mut bench = Bench::new(plain);
    for op in ops {
        bench.apply(op);
        bench.check();
    }
}
