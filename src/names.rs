//! Enums with names in files, settings and flags.

/// Implements `ALL`, `name`, `Display` and `FromStr` for an enum without data.
///
/// `$doing` completes "failed to …" in the error about an unknown name.
macro_rules! named_variants {
    ($type:ident, $doing:literal, [$($variant:ident => $name:literal),+ $(,)?]) => {
        impl $type {
            /// All variants, in order.
            pub const ALL: [Self; [$($name),+].len()] = [$(Self::$variant),+];

            #[doc = concat!("Returns the name in settings and flags:" $(, " `", $name, "`")+, ".")]
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }
        }

        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.name())
            }
        }

        impl std::str::FromStr for $type {
            type Err = $crate::error::Error;

            /// Reads a name. An unknown name is an error of kind [`Usage`](crate::ErrorKind::Usage).
            fn from_str(text: &str) -> $crate::error::Result<Self> {
                Self::ALL.into_iter().find(|variant| variant.name() == text).ok_or_else(|| {
                    $crate::error::Error::new($crate::error::ErrorKind::Usage, $doing)
                        .with_subject(text)
                        .with_source("unknown value")
                        .with_hint(format!("use one of: {}", Self::ALL.map(Self::name).join(", ")))
                })
            }
        }
    };
}

pub(crate) use named_variants;
