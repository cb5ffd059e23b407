"""Object stores: files go there and come back by digest."""
