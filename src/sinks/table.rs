//! What the sinks of all table formats have in common.

/// Defines a sink that writes a table to a file through the encoder of its format.
///
/// The encoder is an expression with the writer and the [`Layout`](super::Layout).
macro_rules! table_sink {
    ($(#[$doc:meta])* $name:ident, $encoder:expr) => {
        $(#[$doc])*
        #[must_use]
        pub struct $name {
            target: $crate::storage::Target,
            layout: $crate::sinks::Layout,
        }

        impl $name {
            /// Writes to a file at a path, or to another destination. It is not touched before the flow runs.
            pub fn create(target: impl Into<$crate::storage::Target>) -> Self {
                Self { target: target.into(), layout: $crate::sinks::Layout::default() }
            }

            /// Sets all options from a layout.
            pub fn layout(mut self, layout: &$crate::sinks::Layout) -> Self {
                self.layout = layout.clone();
                self
            }

            /// Sets the metadata fields to write, in order.
            pub fn fields(self, fields: &$crate::model::Fields) -> Self {
                self.fields_of(fields)
            }

            /// Sets the fields to write, in order, for any type of record with fields.
            pub fn fields_of<R: $crate::record::Record>(
                mut self,
                fields: &$crate::model::FieldList<R>,
            ) -> Self {
                self.layout = self.layout.fields_of(fields);
                self
            }
        }

        #[async_trait::async_trait]
        impl<T: $crate::record::Record> $crate::sinks::Sink<T> for $name {
            async fn drain(
                self: Box<Self>,
                records: $crate::sources::RecordStream<T>,
            ) -> $crate::error::Result<$crate::sinks::Written> {
                Box::new(self.file_sink::<T>()).drain(records).await
            }

            async fn drain_blocks(
                self: Box<Self>,
                blocks: $crate::sources::RecordStream<Vec<T>>,
            ) -> $crate::error::Result<$crate::sinks::Written> {
                Box::new(self.file_sink::<T>()).drain_blocks(blocks).await
            }
        }

        impl $name {
            fn file_sink<T: $crate::record::Record>(self) -> $crate::sinks::FileSink<
                impl FnOnce(
                    Box<dyn std::io::Write + Send>,
                ) -> std::io::Result<Box<dyn $crate::sinks::Encoder<T>>>
                + Send
                + 'static,
            > {
                let Self { target, layout } = self;
                let encoder = move |out| -> std::io::Result<Box<dyn $crate::sinks::Encoder<T>>> {
                    Ok(Box::new(($encoder)(out, &layout)?))
                };
                $crate::sinks::FileSink::create(target, encoder)
            }
        }
    };
}

/// Adds the choice of the geometry to a sink defined with [`table_sink`].
macro_rules! geometry_option {
    ($name:ident) => {
        impl $name {
            /// Sets the point of an image that becomes the geometry.
            pub fn geometry(mut self, choice: $crate::record::GeometryChoice) -> Self {
                self.layout = self.layout.geometry(choice);
                self
            }
        }
    };
}

pub(super) use {geometry_option, table_sink};
