module corpus.example/greet

go 1.21
