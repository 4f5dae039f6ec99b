"""What `presence-server check` looks at in Redis: which servers there are, what the account may do, what they hold."""
