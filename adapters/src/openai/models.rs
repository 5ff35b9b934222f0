//! What is known about OpenAI's models.

use crate::models::Known;

/// From OpenAI's own pages.
pub(super) const OPENAI: &[Known] = &[];
