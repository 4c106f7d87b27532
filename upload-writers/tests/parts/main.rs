//! Cutting into parts, against a model that concatenates everything and cuts that.

use bytes::Bytes;
use proptest::prelude::*;
use upload_writers::{PartCutter, PartPlan, PartProfile};

/// Bytes that depend on their place, so that swapped or repeated chunks show.
fn pattern(len: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    (0..len).map(|_| next()).collect()
}

proptest! {
    #[test]
    fn cuts_as_the_model_does(
        part_bytes in 1_usize..2_000,
        lens in prop::collection::vec(prop_oneof![0_usize..8, 0_usize..5_000], 0..60),
        tiny in 0_usize..3_000,
    ) {
        let lens: Vec<usize> = lens.into_iter().chain(std::iter::repeat_n(1, tiny)).collect();
        let whole = pattern(lens.iter().sum());
        let mut stream = Bytes::from(whole.clone());
        let mut cutter = PartCutter::new(part_bytes as u64);
        let mut parts = Vec::new();
        for len in lens {
            let mut chunk = stream.split_to(len);
            while !chunk.is_empty() {
                parts.extend(cutter.take_from(&mut chunk));
            }
            prop_assert!(cutter.held_bytes() < part_bytes as u64);
        }
        let held = cutter.held_bytes();
        let rest = cutter.finish();
        prop_assert_eq!(rest.is_some(), held > 0);
        parts.extend(rest);

        let model: Vec<&[u8]> = whole.chunks(part_bytes).collect();
        prop_assert_eq!(parts.len(), model.len());
        for (part, expected) in parts.iter().zip(model) {
            prop_assert_eq!(part.len(), expected.len() as u64);
            prop_assert!(part.slices().iter().all(|slice| !slice.is_empty()));
            prop_assert!(part.slices().concat() == expected, "bytes differ");
        }
    }

    #[test]
    fn a_plan_always_suffices(
        declared in 0_u64..=10_000 * (5 << 30),
        profile in prop::sample::select(vec![PartProfile::S3, PartProfile::GCS, PartProfile::AZURE]),
    ) {
        let plan = PartPlan::for_size(declared, &profile).expect("fits");
        prop_assert!(plan.parts <= u64::from(profile.parts_max));
        prop_assert!(plan.part_bytes >= profile.part_bytes_min);
        prop_assert!(plan.part_bytes <= profile.part_bytes_max);
        prop_assert_eq!(plan.part_bytes % profile.part_bytes_step, 0);
        let all = u128::from(plan.part_bytes) * u128::from(plan.parts);
        prop_assert!(all >= u128::from(declared));
        prop_assert!(all - u128::from(declared) < u128::from(plan.part_bytes));
    }
}
