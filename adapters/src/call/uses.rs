//! What a call tells, beside its model and its size, to those who choose a target for it.

use memchr::memmem;
use serde::Deserialize;

use super::Call;

/// What a call uses that not every model can.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Uses {
    /// There are pictures in it.
    pub vision: bool,
    /// It brings tools.
    pub tools: bool,
    /// The answer has to fit a schema.
    pub json_schema: bool,
}

impl Call {
    /// What it uses that not every model can, as far as the names of its fields tell.
    pub fn uses(&self) -> Uses {
        // Quotes inside JSON strings are escaped: what stands in quotes here is a name, or a whole text that says so.
        let has = |name: &[u8]| memmem::find(&self.body, name).is_some();
        Uses {
            vision: has(b"\"image_url\"")
                || has(b"\"input_image\"")
                || has(b"\"image\"")
                || has(b"\"images\""),
            tools: has(b"\"tools\""),
            json_schema: has(b"\"json_schema\""),
        }
    }

    /// Whom the client acts for, if it says so.
    pub fn user(&self) -> Option<String> {
        #[derive(Deserialize)]
        struct Metadata {
            user_id: Option<String>,
        }
        #[derive(Deserialize)]
        struct Names {
            user: Option<String>,
            metadata: Option<Metadata>,
        }
        let names: Names = serde_json::from_slice(&self.body).ok()?;
        names.user.or(names.metadata?.user_id)
    }
}
