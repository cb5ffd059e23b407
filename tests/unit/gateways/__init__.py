"""Sessions on gateways, without a gateway."""
