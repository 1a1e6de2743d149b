// In a file of its own, so that a browser's bundle has nothing else of this package.

export const NOT_IN_A_BROWSER =
  "@mlops-service/client does not start in a browser: everybody who opens the page could read the API key. " +
  "Call track() on your server, for example in a route handler.";
