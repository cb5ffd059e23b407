"""Fleet Hotfix and Rollback: incidents, holds, options, clocks."""
