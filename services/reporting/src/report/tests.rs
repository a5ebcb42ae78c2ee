use super::{Cut, Report};

#[test]
fn what_a_client_says_is_bound() {
    let country = "'; DROP TABLE sales; --".to_owned();
    let report = Report {
        cuts: vec![Cut::Month, Cut::Country],
        country: Some(country.clone()),
        first: 7,
        ..Report::default()
    };
    let question = report.question().unwrap();
    assert!(!question.sql.contains("DROP"), "{}", question.sql);
    assert_eq!(question.bound, [None, None, Some(country), None, Some("7".to_owned())]);
}

#[test]
fn a_cut_that_comes_twice_and_a_time_without_length_are_refused() {
    let refused = |report: Report| report.question().unwrap_err().code();
    assert_eq!(refused(Report { cuts: vec![Cut::Day, Cut::Day], ..Report::default() }), "BAD_USER_INPUT");
    let many = vec![Cut::Year, Cut::Month, Cut::Day, Cut::Country, Cut::Category];
    assert_eq!(refused(Report { cuts: many, ..Report::default() }), "BAD_USER_INPUT");
    let at = "2011-03-01T00:00:00Z".parse().ok();
    assert_eq!(refused(Report { from: at, to: at, ..Report::default() }), "BAD_USER_INPUT");
    assert!(Report { cuts: Vec::new(), first: 1, ..Report::default() }.question().is_ok());
}
