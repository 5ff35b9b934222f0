//! The head of a WAV file, after Microsoft's and IBM's `Multimedia Programming Interface and Data Specifications 1.0`.

/// Bytes of the head.
const HEAD_LEN: u32 = 44;
/// Bytes of a number.
const SAMPLE_LEN: u16 = 2;

/// The head of bare numbers of 16 bits and one channel. Of sound that is still to come, nobody knows the length: players
/// read on to the end where it is the greatest there is.
pub(super) fn head(rate: u32, len: Option<usize>) -> Vec<u8> {
    let len = len.and_then(|len| u32::try_from(len).ok()).unwrap_or(u32::MAX);
    let mut head = Vec::with_capacity(HEAD_LEN as usize);
    head.extend_from_slice(b"RIFF");
    head.extend_from_slice(&len.saturating_add(HEAD_LEN - 8).to_le_bytes());
    head.extend_from_slice(b"WAVEfmt ");
    head.extend_from_slice(&16_u32.to_le_bytes());
    head.extend_from_slice(&1_u16.to_le_bytes());
    head.extend_from_slice(&1_u16.to_le_bytes());
    head.extend_from_slice(&rate.to_le_bytes());
    head.extend_from_slice(&rate.saturating_mul(u32::from(SAMPLE_LEN)).to_le_bytes());
    head.extend_from_slice(&SAMPLE_LEN.to_le_bytes());
    head.extend_from_slice(&(SAMPLE_LEN * 8).to_le_bytes());
    head.extend_from_slice(b"data");
    head.extend_from_slice(&len.to_le_bytes());
    head
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_head_tells_rate_and_length() {
        let head = head(24_000, Some(10));
        assert_eq!(head.len() as u32, HEAD_LEN);
        assert_eq!((&head[..4], &head[8..16], &head[36..40]), (&b"RIFF"[..], &b"WAVEfmt "[..], &b"data"[..]));
        assert_eq!(head[4..8], 46_u32.to_le_bytes());
        assert_eq!(
            (&head[24..28], &head[28..32]),
            (&24_000_u32.to_le_bytes()[..], &48_000_u32.to_le_bytes()[..])
        );
        assert_eq!(head[40..], 10_u32.to_le_bytes());
        assert_eq!(super::head(24_000, None)[40..], u32::MAX.to_le_bytes());
    }
}
