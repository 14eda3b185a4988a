"""The API's form, the same for REST and the WebSocket API: signatures, parameters, limits, errors."""
