//! Money from its arrival to the erasure of who had it.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use storage::identity::Role;

use crate::node::{PASSWORD, TestNode, answer};

#[tokio::test(flavor = "multi_thread")]
async fn a_transfer_is_one_thing_seen_from_two_sides() {
    let node = TestNode::start().await;
    let (asha, ravi, stranger) = (node.sign_up("Asha").await, node.sign_up("Ravi").await, node.sign_up("Zara").await);

    let deposit = json!({"amount": "100.50", "description": "salary"});
    let first = node.keyed(&asha, "/account/deposit", "d1", deposit.clone()).await;
    assert!(!first.headers.contains_key("idempotency-replayed"));
    let first = first.expect(201);
    assert_eq!((&first["balance"], &first["balanceMinor"]), (&json!(100.5), &json!(10_050)));
    assert_eq!(first["transaction"]["kind"], "deposit");
    assert_eq!(first["transaction"]["description"], "salary");
    assert_eq!(first["transaction"]["counterparty"], Value::Null);
    let again = node.keyed(&asha, "/account/deposit", "d1", deposit).await;
    assert_eq!(again.headers["idempotency-replayed"], "true");
    assert_eq!(again.expect(201), first);
    let other = node.keyed(&asha, "/account/deposit", "d1", json!({"amount": 1})).await;
    assert_eq!(other.code(422), "idempotency_key_reused");

    let to_ravi = json!({"to": ravi.handle, "amount": 30, "description": "dinner", "category": "food"});
    let sent = node.keyed(&asha, "/account/transfer", "t1", to_ravi.clone()).await.expect(201);
    let id = sent["transaction"]["id"].as_str().unwrap();
    assert_eq!(sent["transaction"]["status"], "completed");
    assert_eq!(sent["transaction"]["category"], "food");
    assert_eq!(sent["transaction"]["counterparty"], json!({"quickpeId": ravi.handle, "name": "Ravi Rao"}));
    let again = node.keyed(&asha, "/account/transfer", "t1", to_ravi).await;
    assert_eq!(again.headers["idempotency-replayed"], "true");
    assert_eq!(again.expect(201)["transaction"], sent["transaction"]);
    for to in [&ravi.email.to_uppercase(), &ravi.id] {
        node.post(&asha, "/account/transfer", json!({"recipient": to, "amount": "0.25"})).await.expect(201);
    }
    assert_eq!(node.balance(&asha).await["balanceMinor"], 7_000);
    assert_eq!(node.balance(&ravi).await["balanceMinor"], 3_050);

    let route = format!("/account/transactions/{id}");
    let paid = node.get(&asha, &route).await.expect(200);
    let got = node.get(&ravi, &route).await.expect(200);
    assert_eq!((&paid["type"], &got["type"], &paid["id"]), (&json!("debit"), &json!("credit"), &got["id"]));
    assert_eq!(
        (&got["description"], &got["category"]),
        (&json!("dinner"), &Value::Null),
        "a label is its writer's own"
    );
    for side in [&paid, &got] {
        let legs = side["legs"].as_array().unwrap();
        assert_eq!(legs.len(), 2);
        assert_eq!(legs.iter().filter(|leg| leg.get("entry").is_some()).count(), 1, "only one's own has a number");
    }
    assert_eq!(node.get(&stranger, &route).await.code(404), "not_found");

    for (body, status, code) in [
        (json!({"to": ravi.handle, "amount": 1_000}), 422, "insufficient_funds"),
        (json!({"to": asha.handle, "amount": 1}), 422, "payee_is_self"),
        (json!({"to": "QP0000000001", "amount": 1}), 404, "payee_not_found"),
        (json!({"to": "nobody@example.com", "amount": 1}), 404, "payee_not_found"),
        (json!({"to": "", "amount": 1}), 404, "payee_not_found"),
        (json!({"amount": 1}), 400, "validation_failed"),
        (json!({"to": ravi.handle, "amount": "1.001"}), 400, "validation_failed"),
        (json!({"to": ravi.handle, "amount": 0}), 400, "validation_failed"),
        (json!({"to": ravi.handle, "amount": 1, "description": "x".repeat(281)}), 400, "validation_failed"),
    ] {
        assert_eq!(node.post(&asha, "/account/transfer", body.clone()).await.code(status), code, "{body}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_pages_by_number_and_by_cursor() {
    let node = TestNode::start().await;
    let (asha, ravi) = (node.with_money("Asha", 100).await, node.sign_up("Ravi").await);
    for number in 1..=6 {
        let category = if number % 2 == 0 { "even" } else { "odd" };
        let body = json!({"to": ravi.handle, "amount": number, "category": category});
        node.post(&asha, "/account/transfer", body).await.expect(201);
        // Events that are no entries stand between them.
        node.post(&asha, "/account/holds", json!({"to": ravi.handle, "amount": 1})).await.expect(201);
    }
    let entries = |page: &Value| -> Vec<u64> {
        page["transactions"].as_array().unwrap().iter().map(|one| one["entry"].as_u64().unwrap()).collect()
    };
    let page = node.get(&asha, "/account/transactions?page=2&limit=3").await.expect(200);
    assert_eq!(entries(&page), [4, 3, 2]);
    assert_eq!((&page["page"], &page["limit"], &page["total"]), (&json!(2), &json!(3), &json!(7)));
    assert_eq!(entries(&node.get(&asha, "/account/transactions?page=4&limit=3").await.expect(200)), Vec::<u64>::new());

    for (filters, expected) in [
        ("", vec![7, 6, 5, 4, 3, 2, 1]),
        ("&type=debit", vec![7, 6, 5, 4, 3, 2]),
        ("&type=credit", vec![1]),
        ("&category=even", vec![7, 5, 3]),
        ("&status=completed&type=debit", vec![7, 6, 5, 4, 3, 2]),
        ("&status=returned", vec![]),
        ("&from=2100-01-01T00:00:00Z", vec![]),
        ("&to=2100-01-01T00:00:00Z", vec![7, 6, 5, 4, 3, 2, 1]),
        ("&to=2001-01-01T00:00:00Z", vec![]),
    ] {
        let (mut all, mut cursor) = (Vec::new(), String::new());
        loop {
            let route = format!("/account/transactions?limit=2{filters}{cursor}");
            let page = node.get(&asha, &route).await.expect(200);
            assert!(entries(&page).len() <= 2);
            all.extend(entries(&page));
            match page["nextCursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        assert_eq!(all, expected, "{filters}");
    }
    let middle = node.get(&asha, "/account/transactions?limit=4").await.expect(200);
    let at = middle["transactions"][3]["timestamp"].as_str().unwrap();
    let older = node.get(&asha, &format!("/account/transactions?to={at}")).await.expect(200);
    let newer = node.get(&asha, &format!("/account/transactions?from={at}")).await.expect(200);
    assert_eq!(entries(&newer).len() + entries(&older).len(), 7, "a time is in one of both");
    assert!(entries(&newer).ends_with(&[4]) || entries(&newer).contains(&4));
    for (query, code) in [
        ("page=1&type=debit", "page_with_filter"),
        ("cursor=nonsense", "cursor_invalid"),
        ("limit=0", "validation_failed"),
        ("limit=101", "validation_failed"),
        ("page=0", "validation_failed"),
        ("limit=x", "validation_failed"),
        ("type=sideways", "validation_failed"),
    ] {
        assert_eq!(node.get(&asha, &format!("/account/transactions?{query}")).await.code(400), code, "{query}");
    }
    // The other side sees its own numbers.
    assert_eq!(entries(&node.get(&ravi, "/account/transactions").await.expect(200)), [6, 5, 4, 3, 2, 1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hold_is_captured_once_and_what_it_brought_is_refunded() {
    let node = TestNode::start().await;
    let (asha, shop, stranger) =
        (node.with_money("Asha", 100).await, node.sign_up("Shop").await, node.with_money("Zara", 5).await);
    let body = json!({"to": shop.handle, "amount": 40, "expiresInMs": 60_000, "description": "room"});
    let held = node.keyed(&asha, "/account/holds", "h1", body.clone()).await.expect(201);
    assert_eq!((&held["availableMinor"], &held["heldMinor"]), (&json!(6_000), &json!(4_000)));
    let id = held["hold"]["id"].as_str().unwrap().to_owned();
    let route = format!("/account/holds/{id}");
    for who in [&asha, &shop] {
        assert_eq!(node.get(who, &route).await.expect(200)["status"], "held");
        let list = node.get(who, "/account/holds?limit=1").await.expect(200);
        assert_eq!(list["items"][0]["id"], id.as_str());
        assert_eq!(list["nextCursor"], Value::Null);
    }
    assert_eq!(node.get(&stranger, &route).await.code(404), "hold_not_found");
    let capture = format!("{route}/capture");
    assert_eq!(node.post(&stranger, &capture, json!({})).await.code(404), "hold_not_found");
    assert_eq!(node.post(&stranger, &format!("{route}/release"), json!({})).await.code(404), "hold_not_found");
    assert_eq!(node.post(&asha, &capture, json!({})).await.code(403), "forbidden");
    assert_eq!(node.post(&shop, &capture, json!({"amount": 41})).await.code(422), "capture_exceeds_hold");

    let captured = node.keyed(&shop, &capture, "c1", json!({"amount": 25})).await.expect(201);
    assert_eq!((&captured["hold"]["status"], &captured["hold"]["capturedMinor"]), (&json!("captured"), &json!(2_500)));
    assert_eq!(captured["transaction"]["kind"], "capture");
    assert_eq!(captured["transaction"]["type"], "credit");
    let again = node.keyed(&shop, &capture, "c1", json!({"amount": 25})).await;
    assert_eq!(again.headers["idempotency-replayed"], "true");
    assert_eq!(again.expect(201)["transaction"], captured["transaction"]);
    assert_eq!(node.post(&shop, &capture, json!({})).await.code(409), "hold_resolved");
    assert_eq!(node.post(&shop, &format!("{route}/release"), json!({})).await.code(409), "hold_resolved");
    let replay = node.keyed(&asha, "/account/holds", "h1", body).await.expect(201);
    assert_eq!(replay["hold"]["status"], "captured", "as it is now");
    assert_eq!(replay["heldMinor"], 4_000, "as of the hold");
    let balance = node.balance(&asha).await;
    assert_eq!((&balance["balanceMinor"], &balance["heldMinor"]), (&json!(7_500), &json!(0)));

    let transfer = captured["transferId"].as_str().unwrap();
    let refund = format!("/account/transactions/{transfer}/refund");
    assert_eq!(node.post(&stranger, &refund, json!({})).await.code(404), "not_found");
    assert_eq!(node.post(&asha, &refund, json!({})).await.code(422), "not_refundable");
    assert_eq!(node.post(&shop, &refund, json!({"amount": 26})).await.code(422), "refund_exceeds_original");
    let refunded = node.keyed(&shop, &refund, "r1", json!({"amount": 10})).await.expect(201);
    assert_eq!(
        (&refunded["transaction"]["kind"], &refunded["transaction"]["reverses"]),
        (&json!("refund"), &json!(transfer))
    );
    let original = node.get(&shop, &format!("/account/transactions/{transfer}")).await.expect(200);
    assert_eq!(original["refundedMinor"], 1_000);
    let rest = answer(node.request(Method::POST, &refund).bearer_auth(&shop.token)).await.expect(201);
    assert_eq!(rest["transaction"]["amountMinor"], 1_500, "without a body: all that is left");
    assert_eq!(node.post(&shop, &refund, json!({})).await.code(422), "refund_exceeds_original");
    assert_eq!(node.balance(&asha).await["balanceMinor"], 10_000);

    let held = node.post(&asha, "/account/holds", json!({"to": shop.handle, "amount": 1})).await.expect(201);
    let release = format!("/account/holds/{}/release", held["hold"]["id"].as_str().unwrap());
    for _ in 0..2 {
        let released = node.post(&shop, &release, json!({})).await.expect(200);
        assert_eq!(released["hold"]["status"], "released");
    }
    let body = json!({"to": shop.handle, "amount": 1, "expiresInMs": 1});
    assert_eq!(node.post(&asha, "/account/holds", body).await.code(400), "validation_failed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_account_stands_still_until_it_is_freed() {
    let node = TestNode::start().await;
    let (asha, ravi) = (node.with_money("Asha", 10).await, node.sign_up("Ravi").await);
    let admin = node.with_role("Admin", Role::Admin).await;
    let freeze = format!("/admin/accounts/{}/freeze", asha.id);
    assert_eq!(node.post(&ravi, &freeze, json!({"scope": "all", "reason": "x"})).await.code(403), "forbidden");
    let frozen = node.post(&admin, &freeze, json!({"scope": "debit", "reason": "a call"})).await.expect(200);
    assert_eq!((&frozen["frozen"], &frozen["frozenScope"]), (&json!(true), &json!("debit")));
    assert_eq!(node.balance(&asha).await["frozen"], true);
    let pay = json!({"to": ravi.handle, "amount": 1});
    assert_eq!(node.keyed(&asha, "/account/transfer", "k", pay.clone()).await.code(422), "account_frozen");
    let unfreeze = format!("/admin/accounts/{}/unfreeze", asha.id);
    let freed = node.post(&admin, &unfreeze, json!({"scope": "all", "reason": "it was them"})).await.expect(200);
    assert_eq!(freed["frozen"], false);
    node.keyed(&asha, "/account/transfer", "k", pay).await.expect(201);
    assert_eq!(node.post(&admin, &freeze, json!({"scope": "all", "reason": " "})).await.code(400), "validation_failed");
    let nobody = "/admin/accounts/00000000-0000-7000-8000-000000000000/freeze";
    assert_eq!(node.post(&admin, nobody, json!({"scope": "all", "reason": "x"})).await.code(404), "not_found");
    let letters = node.get(&admin, "/admin/dead-letters").await.expect(200);
    assert_eq!(letters, json!({"items": [], "nextCursor": null}));
    let letter = "/admin/dead-letters/00000000-0000-7000-8000-000000000000";
    assert_eq!(node.get(&admin, letter).await.code(404), "not_found");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_erased_is_nobody_and_the_ledger_stands() {
    let node = TestNode::start().await;
    let (asha, ravi) = (node.with_money("Asha", 10).await, node.sign_up("Ravi").await);
    let pay = json!({"to": ravi.handle, "amount": 4, "description": "a secret of Asha"});
    let paid = node.keyed(&asha, "/account/transfer", "k1", pay).await.expect(201);
    let erase = |password: &'static str| {
        answer(node.request(Method::DELETE, "/user/me").bearer_auth(&asha.token).json(&json!({"password": password})))
    };
    assert_eq!(erase("wrong").await.code(401), "bad_credentials");
    assert_eq!(erase(PASSWORD).await.code(409), "account_not_empty");
    let asha = crate::node::somebody(&node.sign_in(&asha.email, PASSWORD).await.expect(200));
    node.post(&asha, "/account/withdraw", json!({"amount": 6})).await.expect(201);
    let body = json!({"password": PASSWORD});
    let erased = answer(node.request(Method::DELETE, "/user/me").bearer_auth(&asha.token).json(&body)).await;
    assert_eq!(erased.status, StatusCode::NO_CONTENT, "{:#}", erased.body);

    assert_eq!(node.get(&asha, "/user/me").await.code(401), "token_invalid");
    assert_eq!(node.sign_in(&asha.email, PASSWORD).await.code(401), "bad_credentials");
    let id = paid["transaction"]["id"].as_str().unwrap();
    let seen = node.get(&ravi, &format!("/account/transactions/{id}")).await.expect(200);
    assert_eq!(seen["counterparty"], json!({"quickpeId": null, "name": "erased"}));
    assert_eq!((&seen["description"], &seen["amountMinor"]), (&Value::Null, &json!(400)));
    assert_eq!(
        node.post(&ravi, "/account/transfer", json!({"to": asha.handle, "amount": 1})).await.code(404),
        "payee_not_found"
    );
    let found = node.post(&ravi, "/user/bulk", json!({"filter": "asha"})).await.expect(200);
    assert_eq!(found["users"], json!([]));
    // The e-mail is free again.
    node.sign_up("Asha").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn funding_is_the_treasurys_where_it_is_not_self_service() {
    let node = TestNode::start_with(|config| config.funding.self_service = Some(false)).await;
    let (asha, treasury) = (node.sign_up("Asha").await, node.with_role("Bank", Role::Treasury).await);
    assert_eq!(node.post(&asha, "/account/deposit", json!({"amount": 1})).await.code(403), "funding_disabled");
    node.post(&treasury, "/account/deposit", json!({"amount": 1})).await.expect(201);
    node.post(&treasury, "/account/transfer", json!({"to": asha.handle, "amount": 1})).await.expect(201);
    assert_eq!(node.balance(&asha).await["balanceMinor"], 100);
}
