//! The attribute FINGERPRINT: a CRC-32 (ITU-T V.42) of all before it, XORed with "STUN". RFC 8489, 14.7

/// RFC 8489, 14.7
const MASK: u32 = 0x5354_554E;
/// V.42's polynomial, bits reversed.
const POLYNOMIAL: u32 = 0xEDB8_8320;

/// What each byte does to the sum.
static TABLE: [u32; 256] = table();

const fn table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut sum = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            sum = if sum & 1 == 1 { (sum >> 1) ^ POLYNOMIAL } else { sum >> 1 };
            bit += 1;
        }
        table[byte] = sum;
        byte += 1;
    }
    table
}

/// Returns the value of the fingerprint that follows these bytes; their length field counts it already.
pub(super) fn of(message: &[u8]) -> [u8; 4] {
    let sum = message.iter().fold(u32::MAX, |sum, byte| {
        let [low, ..] = sum.to_le_bytes();
        (sum >> 8) ^ TABLE[usize::from(low ^ byte)]
    });
    (!sum ^ MASK).to_be_bytes()
}
