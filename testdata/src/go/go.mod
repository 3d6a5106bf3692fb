module corpus.example/tally

go 1.21

require corpus.example/greet v1.2.3

replace corpus.example/greet => ./greet
