//! The page and its files; what they do in a browser is in `browser`.

use crate::harness::{Backend, TestApp};

#[tokio::test(flavor = "multi_thread")]
async fn the_page_and_its_files_come_from_the_service_alone() {
    let backend = Backend::sqlite();
    let app = TestApp::open(&backend).await;
    let page = app.get("/").send().await;
    assert_eq!((page.status.as_u16(), page.header("content-type")), (200, "text/html; charset=utf-8"));
    assert!(page.text().starts_with("<!DOCTYPE html>"));
    assert_eq!(page.header("cross-origin-opener-policy"), "same-origin");
    assert!(page.header("permissions-policy").contains("camera=()"));
    for outside in ["http://", "https://", "//", "<script>", "style=\"", "onclick"] {
        let without_ends = page.text().replace("</", "");
        assert!(!without_ends.contains(outside), "{outside} in the page");
    }
    for route in ["/track", "/analytics/{business_id}", "/refresh-metrics", "/metrics", "/health/detailed"] {
        assert!(page.text().contains(&format!("<code>{route}</code>")), "{route} is listed");
    }
    for (path, kind) in [
        ("/assets/dashboard.css", "text/css; charset=utf-8"),
        ("/assets/dashboard.js", "text/javascript; charset=utf-8"),
        ("/assets/icon.svg", "image/svg+xml"),
    ] {
        assert!(page.text().contains(path), "{path} is used");
        let asset = app.get(path).send().await;
        assert_eq!((asset.status.as_u16(), asset.header("content-type")), (200, kind));
    }
}
