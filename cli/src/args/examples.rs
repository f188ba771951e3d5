//! What stands at the end of each help.

pub(crate) const STREETFLOW: &str = "\
Examples:
  streetflow crawl --sandbox
  streetflow crawl --bbox 33.30,35.13,33.40,35.20 --format csv,parquet
  streetflow crawl --user maria_streets --from 2024-06-01 --pano
  streetflow convert outputs/img_meta_dataset.csv images.geojson

`streetflow crawl -h` has the flags that are used most, `--help` all of them.";

pub(crate) const EXIT_CODES: &str = "\
Exit codes:
  0    done
  1    failed
  2    wrong usage: a flag, a table, a missing token
  3    done, but some records failed; <output>/failures.csv names them
  130  interrupted; the files are valid and hold what was done so far

The token is read from MAPILLARY_TOKEN, MAPILLARY_CLIENT_TOKEN, MAPILLARY_ACCESS_TOKEN or --token-file.
Pictures from Mapillary are CC BY-SA 4.0: name author and Mapillary and link to the image where you show them.";

pub(crate) const SEQUENCES: &str = "\
Examples:
  streetflow sequences --bbox 33.30,35.13,33.40,35.20
  streetflow sequences --area town.geojson --org-id 227409318565107
  streetflow sequences --around 33.36,35.17 --radius 500";

pub(crate) const IMAGES: &str = "\
Examples:
  streetflow images
  cut -d, -f2 mine.csv | streetflow images --input -";

pub(crate) const METADATA: &str = "\
Examples:
  streetflow metadata --fields captured_at,geometry,thumb_1024_url
  streetflow metadata --pano --every 20 --format parquet";

pub(crate) const DOWNLOAD: &str = "\
Examples:
  streetflow download --quality 1024
  streetflow download --quality original --layout sequence
  streetflow download --input images.parquet --exif always";

pub(crate) const CRAWL: &str = "\
Examples:
  streetflow crawl --sandbox
  streetflow crawl --area town.geojson --clip --pano --quality 2048
  streetflow crawl --user maria_streets --from 2024-06-01 --limit 1000
  streetflow crawl --sequences ids.txt --no-download --format parquet

The same command again goes on where a killed or stopped one was.";

pub(crate) const CONVERT: &str = "\
Examples:
  streetflow convert outputs/img_meta_dataset.csv images.parquet
  streetflow convert images.parquet places.csv --fields geometry
  streetflow convert images.parquet - --format geojsonseq | head";

pub(crate) const CONFIG: &str = "\
Examples:
  streetflow config
  STREETFLOW_QUALITY=1024 streetflow config --concurrency 8";

pub(crate) const SANDBOX: &str = "\
Examples:
  streetflow sandbox --port 8080
  streetflow sandbox --images 1000000 --latency 50";

pub(crate) const COMPLETIONS: &str = "\
Examples:
  source <(streetflow completions bash)
  streetflow completions zsh > ~/.zfunc/_streetflow
  streetflow completions fish | source";

pub(crate) const MAN: &str = "\
Examples:
  streetflow man | man -l -
  streetflow man ~/.local/share/man/man1";
