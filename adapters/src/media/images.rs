//! Pictures out of words.

use crate::call::Error;
use crate::usage::Usage;

/// What is to be drawn.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Ask {
    /// The model, by the name the client knows.
    pub model: String,
    /// What the picture shows.
    pub prompt: String,
    /// How many pictures.
    pub count: Option<u64>,
    /// Width and height, as `1024x1024`; `auto` counts as none.
    pub size: Option<String>,
    /// How well it is drawn, in a word.
    pub quality: Option<String>,
    /// `vivid` or `natural`.
    pub style: Option<String>,
    /// `transparent` or `opaque`.
    pub background: Option<String>,
    /// The kind of file: `png`, `jpeg` or `webp`.
    pub file: Option<String>,
    /// How pictures come; `None` leaves that to the provider.
    pub delivery: Option<Delivery>,
    /// Names the end user to the provider.
    pub user: Option<String>,
    /// Fields that are none of these, by path.
    pub rest: Vec<String>,
}

/// How pictures come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// At an address.
    Url,
    /// In the answer, as base64.
    Base64,
}

impl Ask {
    /// Refuses by name the first of what a dialect has no word for, and how pictures come where it has one way only.
    pub(crate) fn refuse(
        &self,
        unsaid: &[&'static str],
        delivery: Delivery,
        dialect: &str,
    ) -> Result<(), Error> {
        let says = [
            ("n", self.count.is_some_and(|count| count != 1)),
            ("size", self.size.is_some()),
            ("quality", self.quality.is_some()),
            ("style", self.style.is_some()),
            ("background", self.background.is_some()),
            ("output_format", self.file.is_some()),
        ];
        let first = says.iter().find(|(name, said)| *said && unsaid.contains(name)).map(|(name, _)| *name);
        let other = self.delivery.is_some_and(|wanted| wanted != delivery).then_some("response_format");
        first.or(other).map_or(Ok(()), |field| Err(Error::unsaid(field, dialect)))
    }

    /// Width and height in pixels.
    ///
    /// # Errors
    /// When the size is none such.
    pub(crate) fn pixels(&self) -> Result<Option<(u64, u64)>, Error> {
        let Some(size) = &self.size else { return Ok(None) };
        let sides = size.split_once(['x', '*', '×']).and_then(|(width, height)| {
            let side = |text: &str| text.parse::<u64>().ok().filter(|side| *side > 0);
            Some((side(width)?, side(height)?))
        });
        sides.map(Some).ok_or(Error::field("size", "must be width and height, as 1024x1024, or auto"))
    }
}

/// What was drawn.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Answer {
    /// Seconds since 1970, where the provider tells.
    pub created: Option<u64>,
    /// The pictures.
    pub images: Vec<Image>,
    /// What was used, where the provider tells.
    pub usage: Option<Usage>,
}

/// A picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// Itself, or where it is.
    pub data: Data,
    /// The words it was drawn by, where the provider wrote them anew.
    pub revised: Option<String>,
}

/// A picture, or where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Data {
    /// Its address.
    Url(String),
    /// Itself as base64.
    Base64(String),
}
