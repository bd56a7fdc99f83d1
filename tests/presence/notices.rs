//! Notices on every device: as they are made, and as they are read.

use reqwest::Method;
use serde_json::json;

use crate::world::{SECRET, World};

#[tokio::test]
async fn every_device_hears_what_is_made_and_what_is_read() {
    let world = World::start(&[]);
    let (asha, bela) = (world.sign_up("asha", json!({})).await, world.sign_up("bela", json!({})).await);
    let mut phone = world.connect(&bela, Some("phone"), &["account", "user"]).await;
    let mut laptop = world.connect(&bela, Some("laptop"), &["user"]).await;

    world.post(201, &asha, "/account/deposit", json!({"amount": 100})).await;
    world.post(201, &asha, "/account/transfer", json!({"to": bela.id, "amount": "12.50"})).await;
    let credit = phone.event("transaction:new").await;
    let notice = credit["data"]["notification"].clone();
    assert_eq!((&notice["id"], &notice["type"]), (&credit["id"], &json!("credit")), "a credit carries its notice");
    assert!(notice["message"].as_str().unwrap().contains("asha Rao"), "{notice}");

    let told = json!({"type": "kyc", "title": "Documents", "message": "Please upload them."});
    let path = format!("/server/users/{}/notices", bela.id);
    let made = world.expect(201, Method::POST, &path, SECRET, Some(told)).await;
    let new = phone.event("notification:new").await;
    assert_eq!(new["offset"], made["offset"]);
    let new = &new["data"];
    assert_eq!((&new["unread"], &new["notification"]["title"]), (&json!(2), &json!("Documents")), "the credit counts");
    assert_eq!(&laptop.event("notification:new").await["data"], new, "the same on every device");
    let one_list = world.asked(&bela.token, "/notifications", |_, list| list["unread"] == 2).await;
    assert_eq!(one_list["notifications"], json!([new["notification"], notice]), "the list is what was heard");

    // Read one: everywhere, once, however often it is said.
    let id = notice["id"].as_str().unwrap();
    for _ in 0..2 {
        world.expect(200, Method::PATCH, &format!("/notifications/{id}/read"), &bela.token, None).await;
    }
    for device in [&mut phone, &mut laptop] {
        assert_eq!(device.event("notification:update").await["data"], json!({"ids": [id], "unread": 1}));
    }
    world.post(200, &bela, "/notifications/read-all", json!({})).await;
    for device in [&mut phone, &mut laptop] {
        let all = device.event("notification:update").await;
        assert_eq!(all["data"], json!({"ids": [new["notification"]["id"]], "unread": 0}));
        assert_eq!(device.count(|frame| frame["event"] == "notification:update").await, 0);
    }
    let list = world.get(&bela, "/notifications").await;
    assert_eq!(
        (&list["unread"], list["notifications"].as_array().unwrap().len()),
        (&json!(0), 2),
        "no more than before"
    );

    // Read by the mark of one's own room, and by a device that was away.
    world.post(200, &bela, "/notifications/test", json!({})).await;
    let test = laptop.event("notification:new").await;
    assert_eq!(test["data"]["unread"], 1);
    let rooms = world.get(&bela, "/rooms").await;
    assert_eq!((&rooms["rooms"][0]["kind"], &rooms["rooms"][0]["unread"]), (&json!("user"), &json!(1)), "{rooms}");
    let upto = json!({"upto": test["offset"]});
    let path = format!("/rooms/{}/read", rooms["rooms"][0]["id"].as_str().unwrap());
    let read = world.expect(200, Method::PUT, &path, &bela.token, Some(upto)).await;
    assert_eq!((&read["upto"], &read["unread"]), (&test["offset"], &json!(0)));
    let update = laptop.event("notification:update").await;
    assert_eq!(update["data"], json!({"ids": [test["data"]["notification"]["id"]], "unread": 0}));

    // History says it as the stream did.
    let room = rooms["rooms"][0]["id"].as_str().unwrap();
    let history = world.get(&bela, &format!("/rooms/{room}/messages?limit=1")).await;
    let event = &history["events"][0];
    for field in ["offset", "id", "event", "data"] {
        assert_eq!(event[field], update[field], "{field}");
    }
}
