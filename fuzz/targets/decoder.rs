//! Any bytes are a frame, which encodes to the same bytes, or a named error.

use roundtable_proto::wire;

pub(super) fn decoder(input: &[u8]) {
    match wire::decode(input) {
        Ok(frame) => assert_eq!(frame.to_vec(), input, "{frame:?} is not the only form of its bytes"),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}
