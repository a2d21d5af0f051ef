// Lets guest_wasip1.go declare main.main, which is linked by name, without a body.
