"use client";
// What nobody should do: report from the browser.
import { createClient } from "@mlops-service/client";
import { useEffect, useState } from "react";

export default function Page() {
  const [said, say] = useState("");
  useEffect(() => {
    try {
      createClient({ url: "http://localhost:5001" });
    } catch (error) {
      say(String(error));
    }
  }, []);
  return <p>{said}</p>;
}
