//! A session without records against the reference of `upload-core`'s model test.

#[path = "../../../../upload-core/tests/model/bench.rs"]
mod bench;
#[path = "../../../../upload-core/tests/model/op.rs"]
mod op;
#[path = "../../../../upload-core/tests/model/reference.rs"]
mod reference;

use self::{bench::Bench, op::Op};
use crate::cursor::Cursor;

/// Steps of one history.
const STEPS_MAX: usize = 300;

pub(super) fn run(input: &[u8]) {
    let mut cursor = Cursor::new(input);
    let mut bench = Bench::new(cursor.byte() & 1 == 1);
    for _ in 0..STEPS_MAX {
        if cursor.is_empty() {
            break;
        }
        bench.apply(&op(&mut cursor));
        bench.check();
    }
}

fn op(cursor: &mut Cursor<'_>) -> Op {
    let kind = cursor.byte() % 16;
    let n = cursor.byte() % 3 + 1;
    match kind {
        0 | 1 => Op::Register {
            n,
            size: cursor.byte() % 41,
        },
        2..=5 => {
            let skip = match cursor.byte() % 8 {
                far @ 0..=2 => far as i8 + 1,
                3 => -1,
                _ => 0,
            };
            let length = cursor.byte() % 13;
            Op::Chunk { n, skip, length }
        }
        6 | 7 => Op::Complete {
            n,
            checksum: [None, Some(true), Some(true), Some(false)][usize::from(cursor.byte() % 4)],
        },
        8 => Op::Cancel { n },
        9 => Op::BadFrame,
        10 | 11 => Op::Judge {
            n,
            accept: !cursor.byte().is_multiple_of(8),
        },
        12 | 13 => Op::Writer {
            n,
            works: !cursor.byte().is_multiple_of(16),
        },
        14 => match cursor.byte() {
            ms @ 128.. => Op::Pass { ms: u16::from(ms) },
            bytes => Op::Window { bytes },
        },
        _ => Op::Consume,
    }
}
