//! An encoding byte and the payload, packed where that makes it shorter. Unpacking is bounded. SPEC 13

use miniz_oxide::deflate::compress_to_vec;
use miniz_oxide::inflate::TINFLStatus;
use miniz_oxide::inflate::core::{DecompressorOxide, decompress, inflate_flags};

use super::OpenError;

/// The payload as it is.
const STORED: u8 = 0;
/// A raw DEFLATE stream (RFC 1951), and nothing after it.
const DEFLATE: u8 = 1;
/// What zlib calls its default: beyond it the time doubles and real descriptions shrink by another percent.
const LEVEL: u8 = 6;

/// Returns the encoding byte and the payload, packed or not, whichever is shorter.
pub(super) fn pack(payload: &[u8]) -> Vec<u8> {
    let packed = compress_to_vec(payload, LEVEL);
    let (encoding, bytes) =
        if packed.len() < payload.len() { (DEFLATE, packed.as_slice()) } else { (STORED, payload) };
    [&[encoding], bytes].concat()
}

/// Returns the payload of what [`pack`] made, up to `limit` bytes. Never writes more than that, whatever comes.
pub(super) fn unpack(packed: &[u8], limit: usize) -> Result<Vec<u8>, OpenError> {
    let payload = match packed {
        [STORED, payload @ ..] => payload.to_vec(),
        [DEFLATE, stream @ ..] => inflate(stream, limit)?,
        _ => return Err(OpenError::BadEncoding),
    };
    if payload.len() > limit { Err(OpenError::PayloadTooLong { limit }) } else { Ok(payload) }
}

fn inflate(stream: &[u8], limit: usize) -> Result<Vec<u8>, OpenError> {
    let mut payload = vec![0; limit];
    let flags = inflate_flags::TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF;
    let (status, read, written) =
        decompress(&mut DecompressorOxide::default(), stream, &mut payload, 0, flags);
    if status == TINFLStatus::Done && read == stream.len() {
        payload.truncate(written);
        Ok(payload)
    } else if status == TINFLStatus::HasMoreOutput {
        Err(OpenError::PayloadTooLong { limit })
    } else {
        Err(OpenError::BadEncoding)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::wire::BLOB_MAX;

    #[test]
    fn short_text_is_stored_and_long_text_is_packed() {
        assert_eq!(pack(b"a=x"), b"\0a=x");
        assert_eq!(pack(b""), b"\0");
        let text = b"a=candidate:1 1 udp 2130706431 ".repeat(9);
        let packed = pack(&text);
        assert_eq!(packed[0], DEFLATE);
        assert!(packed.len() < 60, "{}", packed.len());
        assert_eq!(unpack(&packed, BLOB_MAX), Ok(text));
    }

    #[test]
    fn bomb_is_refused_at_the_limit_and_not_before() {
        for (size, fits) in [(BLOB_MAX, true), (BLOB_MAX + 1, false), (64 << 20, false)] {
            let packed = pack(&vec![0; size]);
            assert_eq!(packed[0], DEFLATE);
            match unpack(&packed, BLOB_MAX) {
                Ok(payload) => assert!(fits && payload.len() == size),
                Err(error) => {
                    assert!(!fits);
                    assert_eq!(error, OpenError::PayloadTooLong { limit: BLOB_MAX });
                }
            }
        }
        assert_eq!(unpack(&[0; 12], 10), Err(OpenError::PayloadTooLong { limit: 10 }));
    }

    #[test]
    fn damaged_streams_are_refused() {
        let packed = pack(&b"v=0 ".repeat(50));
        let mut longer = packed.clone();
        longer.push(0);
        assert_eq!(unpack(&longer, BLOB_MAX), Err(OpenError::BadEncoding), "a byte follows the stream");
        for length in 0..packed.len() {
            assert_eq!(unpack(&packed[..length], BLOB_MAX), Err(OpenError::BadEncoding), "{length} bytes");
        }
        for encoding in 2..=255 {
            assert_eq!(unpack(&[encoding, 1, 2, 3], BLOB_MAX), Err(OpenError::BadEncoding));
        }
        assert_eq!(unpack(&[DEFLATE, 0x07], BLOB_MAX), Err(OpenError::BadEncoding), "block type 3");
    }

    proptest! {
        #[test]
        fn what_is_packed_unpacks(payload in prop::collection::vec(prop::sample::select(b"v=0a\r\n ".to_vec()), 0..3000)) {
            let packed = pack(&payload);
            prop_assert!(packed.len() <= payload.len() + 1);
            prop_assert_eq!(unpack(&packed, BLOB_MAX), Ok(payload));
        }

        #[test]
        fn unpacking_is_total_and_bounded(packed in prop::collection::vec(any::<u8>(), 0..300), limit in 0usize..3000) {
            if let Ok(payload) = unpack(&packed, limit) {
                prop_assert!(payload.len() <= limit);
            }
        }
    }
}
