//! Hugging Face image folder: pictures and `metadata.parquet` in a folder for each split.

use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;

use arrow_array::builder::{Float64Builder, Int64Builder, ListBuilder, StringBuilder};
use arrow_array::{ArrayRef, RecordBatch, StructArray};
use arrow_schema::{DataType, Field, Fields, Schema};
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;

use super::classes::Class;
use super::masks::Painter;
use super::options::{Options, Task};
use super::output::{Output, link_or_copy, write};
use super::report::{ATTRIBUTION, Counts, LICENCE};
use super::sample::Sample;
use super::writer::Writer;
use crate::atomic_file::output_error;
use crate::error::Result;
use crate::model::page_url;

/// Rows of a row group.
const ROWS: usize = 1000;

pub(super) struct HuggingFace {
    splits: Vec<SplitFolder>,
    classes: Vec<(i64, String)>,
    painter: Option<Painter>,
    must_copy: bool,
}

struct SplitFolder {
    folder: PathBuf,
    path: PathBuf,
    writer: ArrowWriter<File>,
    rows: Rows,
}

impl HuggingFace {
    pub(super) fn new(output: &Output, options: &Options, classes: &[Class]) -> Result<Self> {
        let has_masks = options.task == Task::Segment;
        let splits = options.split.names().iter().map(|split| {
            let folder = output.folder(split)?;
            if has_masks {
                output.folder(&format!("{split}/masks"))?;
            }
            SplitFolder::new(folder, has_masks)
        });
        Ok(Self {
            splits: splits.collect::<Result<_>>()?,
            classes: classes.iter().map(|class| (class.id.into(), class.name.clone())).collect(),
            painter: has_masks.then(|| Painter::new(classes)),
            must_copy: options.must_copy,
        })
    }
}

impl Writer for HuggingFace {
    fn add(&mut self, sample: &Sample, counts: &mut Counts) -> Result<()> {
        let split = &mut self.splits[sample.split];
        let mask = self.painter.as_mut().map(|painter| painter.paint(sample, counts)).transpose()?;
        let target = split.folder.join(&sample.picture.name);
        counts.copied += u64::from(link_or_copy(&sample.picture.path, &target, self.must_copy)?);
        let mask_name =
            mask.is_some().then(|| format!("masks/{}", sample.picture.name.replace(".jpg", ".png")));
        if let (Some(mask), Some(name)) = (&mask, &mask_name) {
            write(&split.folder.join(name), mask)?;
        }
        split.rows.push(sample, mask_name.as_deref(), &self.classes);
        if split.rows.count >= ROWS { split.flush() } else { Ok(()) }
    }

    fn finish(self: Box<Self>) -> Result<()> {
        self.splits.into_iter().try_for_each(|mut split| {
            split.flush()?;
            let done = split.writer.close().map_err(std::io::Error::from);
            done.map(drop).map_err(|error| output_error("write the file", &split.path, error))
        })
    }
}

impl SplitFolder {
    fn new(folder: PathBuf, has_masks: bool) -> Result<Self> {
        let path = folder.join("metadata.parquet");
        let rows = Rows::new(has_masks);
        let open = || {
            let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
            let writer =
                ArrowWriter::try_new(File::create(&path)?, Arc::clone(&rows.schema), Some(properties))?;
            Ok(writer)
        };
        let writer = open().map_err(|error: std::io::Error| output_error("write the file", &path, error))?;
        Ok(Self { folder, path, writer, rows })
    }

    fn flush(&mut self) -> Result<()> {
        if self.rows.count == 0 {
            return Ok(());
        }
        let mut flush = || {
            let batch = self.rows.finish().map_err(std::io::Error::other)?;
            self.writer.write(&batch)?;
            self.writer.flush()?;
            Ok(())
        };
        flush().map_err(|error: std::io::Error| output_error("write the file", &self.path, error))
    }
}

/// The rows of a row group.
struct Rows {
    schema: Arc<Schema>,
    count: usize,
    has_masks: bool,
    texts: [StringBuilder; 7],
    sizes: [Int64Builder; 2],
    boxes: ListBuilder<ListBuilder<Float64Builder>>,
    categories: ListBuilder<StringBuilder>,
    category_ids: ListBuilder<Int64Builder>,
    areas: ListBuilder<Float64Builder>,
    detections: ListBuilder<StringBuilder>,
}

/// Names of the text columns. The mask is left out for boxes.
const TEXTS: [&str; 7] =
    ["file_name", "mask_file_name", "image_id", "page_url", "author", "license", "attribution"];

impl Rows {
    fn new(has_masks: bool) -> Self {
        let mut fields: Vec<_> = TEXTS
            .iter()
            .filter(|name| has_masks || **name != "mask_file_name")
            .map(|name| Field::new(*name, DataType::Utf8, true))
            .collect();
        fields.extend(["width", "height"].map(|name| Field::new(name, DataType::Int64, true)));
        fields.push(Field::new("objects", DataType::Struct(object_fields()), false));
        Self {
            schema: Arc::new(Schema::new(fields)),
            count: 0,
            has_masks,
            texts: Default::default(),
            sizes: Default::default(),
            boxes: ListBuilder::new(ListBuilder::new(Float64Builder::new())),
            categories: ListBuilder::new(StringBuilder::new()),
            category_ids: ListBuilder::new(Int64Builder::new()),
            areas: ListBuilder::new(Float64Builder::new()),
            detections: ListBuilder::new(StringBuilder::new()),
        }
    }

    fn push(&mut self, sample: &Sample, mask: Option<&str>, classes: &[(i64, String)]) {
        let url = page_url(&sample.image);
        let texts = [
            Some(sample.picture.name.as_str()),
            mask,
            Some(sample.image.as_str()),
            Some(url.as_str()),
            sample.author.as_deref(),
            Some(LICENCE),
            Some(ATTRIBUTION),
        ];
        self.texts.iter_mut().zip(texts).for_each(|(column, text)| column.append_option(text));
        self.sizes[0].append_value(sample.size.0.into());
        self.sizes[1].append_value(sample.size.1.into());
        for annotation in &sample.annotations {
            let bounds = annotation.bounds;
            let (id, name) = &classes[annotation.class];
            self.boxes.values().values().append_slice(&[bounds.x, bounds.y, bounds.width, bounds.height]);
            self.boxes.values().append(true);
            self.categories.values().append_value(name);
            self.category_ids.values().append_value(*id);
            self.areas.values().append_value(annotation.area);
            self.detections.values().append_value(annotation.detection.as_str());
        }
        self.boxes.append(true);
        self.categories.append(true);
        self.category_ids.append(true);
        self.areas.append(true);
        self.detections.append(true);
        self.count += 1;
    }

    fn finish(&mut self) -> std::result::Result<RecordBatch, arrow_schema::ArrowError> {
        self.count = 0;
        let objects: Vec<ArrayRef> = vec![
            Arc::new(self.boxes.finish()),
            Arc::new(self.categories.finish()),
            Arc::new(self.category_ids.finish()),
            Arc::new(self.areas.finish()),
            Arc::new(self.detections.finish()),
        ];
        let mut columns: Vec<ArrayRef> = Vec::new();
        for (name, texts) in TEXTS.iter().zip(&mut self.texts) {
            let texts = texts.finish();
            if self.has_masks || *name != "mask_file_name" {
                columns.push(Arc::new(texts));
            }
        }
        columns.extend(self.sizes.iter_mut().map(|sizes| -> ArrayRef { Arc::new(sizes.finish()) }));
        columns.push(Arc::new(StructArray::try_new(object_fields(), objects, None)?));
        RecordBatch::try_new(Arc::clone(&self.schema), columns)
    }
}

/// Lists of equal length: one entry for each object.
fn object_fields() -> Fields {
    let list = |item: DataType| DataType::List(Arc::new(Field::new("item", item, true)));
    let field = |name: &str, item: DataType| Field::new(name, list(item), true);
    Fields::from(vec![
        field("bbox", list(DataType::Float64)),
        field("categories", DataType::Utf8),
        field("category_ids", DataType::Int64),
        field("areas", DataType::Float64),
        field("detection_ids", DataType::Utf8),
    ])
}
