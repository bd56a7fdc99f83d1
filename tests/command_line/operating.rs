//! Commands of operators beside a running node and without one.

use crate::process::{Node, code, people, run, said};

#[tokio::test]
async fn operations_go_through_the_running_node_or_open_the_store() {
    let dir = tempfile::tempdir().unwrap();
    let nothing = run(dir.path(), &["admin", "suspense", "list"]);
    assert_eq!(code(&nothing), 1, "{}", said(&nothing));
    assert!(said(&nothing).contains("there is no store"), "{}", said(&nothing));

    let node = Node::start(dir.path());
    let body = serde_json::json!({
        "firstName": "Asha", "lastName": "Rao", "email": "asha@example.com", "password": "correct horse",
    });
    let (status, signed_up) = node.post("/api/v1/auth/signup", "", body).await;
    assert_eq!(status, 201, "{signed_up}");
    let granted = run(dir.path(), &["admin", "grant", "Asha@Example.com", "admin"]);
    assert_eq!(code(&granted), 0, "{}", said(&granted));
    let (_, me) = node.get("/api/v1/user/me", signed_up["token"].as_str().unwrap()).await;
    assert_eq!(me["role"], "admin", "{me}");
    assert_eq!(code(&run(dir.path(), &["admin", "grant", "asha@example.com", "emperor"])), 2);
    assert_eq!(code(&run(dir.path(), &["admin", "grant", "nobody@example.com", "admin"])), 1);
    let busy = run(dir.path(), &["rebuild-views"]);
    assert_eq!(code(&busy), 1);
    assert!(said(&busy).contains("the node is running"), "{}", said(&busy));
    node.stop();

    let limited = run(dir.path(), &["admin", "limits", "asha@example.com", "--per-day", "10.50"]);
    assert_eq!(code(&limited), 0, "{}", said(&limited));
    let shown = run(dir.path(), &["admin", "limits", "asha@example.com"]);
    assert!(said(&shown).contains("in one transaction: none, in one day: 10.50 (INR)"), "{}", said(&shown));
    let empty = run(dir.path(), &["admin", "suspense", "list"]);
    assert_eq!((code(&empty), said(&empty).trim()), (0, "0 in suspense"));
    assert_eq!(code(&run(dir.path(), &["admin", "compact"])), 0);
    assert_eq!(code(&run(dir.path(), &["verify"])), 0);
}

#[tokio::test]
async fn views_that_are_gone_are_derived_again() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(dir.path());
    let people = people(dir.path(), 10, "50.00");
    for pair in people.windows(2) {
        node.pay(&pair[0].1, &pair[1].0, "7.25").await;
    }
    let transactions = format!("{}?limit=20", "/api/v1/account/transactions");
    let mut before = Vec::new();
    for (_, token) in &people {
        before.push((node.balance(token).await, node.get(&transactions, token).await.1));
    }
    node.stop();

    let rebuilt = run(dir.path(), &["rebuild-views"]);
    assert_eq!(code(&rebuilt), 0, "{}", said(&rebuilt));
    assert!(said(&rebuilt).contains("the views are rebuilt from"), "{}", said(&rebuilt));
    assert_eq!(code(&run(dir.path(), &["verify"])), 0);
    for delete in [false, true] {
        if delete {
            std::fs::remove_dir_all(dir.path().join("views")).unwrap();
        }
        let node = Node::start(dir.path());
        for ((balance, statement), (_, token)) in before.iter().zip(&people) {
            assert_eq!(node.balance(token).await, *balance);
            assert_eq!(node.get(&transactions, token).await.1, *statement);
        }
        node.stop();
        let verified = run(dir.path(), &["verify"]);
        assert_eq!(code(&verified), 0, "{}", said(&verified));
        assert!(said(&verified).contains("views: 10 accounts compared"), "{}", said(&verified));
    }
}
