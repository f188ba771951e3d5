use super::*;

#[test]
fn a_number_is_written_like_the_api_does_and_reads_back_to_the_same_bits() {
    for text in [
        "184.43365478516",
        "180",
        "-0.0019509766093401",
        "4.546427159383e+18",
        "-3.8067981992196e-05",
        "0",
        "1e-300",
    ] {
        let number: f64 = text.parse().expect(text);
        let written = Value::Float(number).to_string();
        assert_eq!(written, text);
        assert_eq!(written.parse::<f64>().map(f64::to_bits), Ok(number.to_bits()));
    }
}

#[test]
fn cells_of_other_tools_are_parsed() {
    assert_eq!(Kind::Bool.parse("True"), Ok(Value::Bool(true)));
    assert_eq!(Kind::Integer.parse("2560.0"), Ok(Value::Integer(2560)));
    assert!(Kind::Integer.parse("2560.5").is_err());
    assert_eq!(Kind::Float.parse(""), Ok(Value::Null));
}

#[test]
fn null_words_are_missing_values_except_in_text_columns() {
    for word in
        ["NA", "N/A", "n/a", "\\N", "NULL", "null", "NaN", "nan", "-nan", "None", "NaT", "#N/A", "<NA>", "-"]
    {
        for kind in [
            Kind::Integer,
            Kind::Float,
            Kind::Longitude,
            Kind::Latitude,
            Kind::Bool,
            Kind::Time,
            Kind::Floats,
            Kind::Texts,
        ] {
            if word != "-nan" || matches!(kind, Kind::Float | Kind::Longitude | Kind::Latitude) {
                assert_eq!(kind.parse(word), Ok(Value::Null), "{kind:?} {word}");
            }
        }
        assert_eq!(Kind::Text.parse(word), Ok(Value::Text(word.into())), "{word}");
    }
    for word in ["NB", "nullable", "none of it", "--", "N"] {
        assert!(Kind::Float.parse(word).is_err() && Kind::Time.parse(word).is_err(), "{word}");
    }
}

#[test]
fn a_number_in_exponent_form_is_rejected_if_it_lost_significant_digits() {
    for (kind, text) in [
        (Kind::Time, "1.71959E+12"),
        (Kind::Time, "1.7195940E12"),
        (Kind::Time, "1.7e12"),
        (Kind::Time, "2E9"),
        (Kind::Integer, "3.26E+03"),
        (Kind::Integer, "2e1"),
        (Kind::Longitude, "3.34E+01"),
        (Kind::Latitude, "3.517E1"),
    ] {
        assert_eq!(kind.parse(text), Err(LOST_DIGITS), "{kind:?} {text}");
    }
    for (kind, text, value) in [
        (Kind::Time, "1.719594028E+12", Value::Time(1_719_594_028_000)),
        (Kind::Time, "1.719594028123e12", Value::Time(1_719_594_028_123)),
        (Kind::Time, "1.7195940280000E+12", Value::Time(1_719_594_028_000)),
        (Kind::Time, "1719594032000.0", Value::Time(1_719_594_032_000)),
        (Kind::Time, "0E+00", Value::Time(0)),
        (Kind::Integer, "3.264E+03", Value::Integer(3264)),
        (Kind::Integer, "2.0E1", Value::Integer(20)),
        (Kind::Integer, "0E0", Value::Integer(0)),
        (Kind::Longitude, "3.336572E+01", Value::Float(33.36572)),
        (Kind::Longitude, "-3.30559e-05", Value::Float(-3.30559e-5)),
        (Kind::Latitude, "0.0E+00", Value::Float(0.0)),
        (Kind::Float, "4.5E+18", Value::Float(4.5e18)),
        (Kind::Float, "2.9E+02", Value::Float(290.0)),
    ] {
        assert_eq!(kind.parse(text), Ok(value), "{kind:?} {text}");
    }
}

#[test]
fn a_time_that_does_not_exist_is_rejected_with_the_reason() {
    for text in ["2023-02-31T00:00:00Z", "2023-13-01 00:00:00", "2023-12-10T25:00:00Z"] {
        assert_eq!(Kind::Time.parse(text), Err("there is no such day or time of day"), "{text}");
    }
}
