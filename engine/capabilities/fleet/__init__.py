"""The life of a robot: from provisioned to retired, in and out of service."""
