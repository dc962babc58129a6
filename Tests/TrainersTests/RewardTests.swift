import Files
import Foundation
import TestSupport
import Testing
import Trainers

@Suite("Rewards") struct RewardTests {
    private func answers(_ texts: String..., references: [String?] = []) -> [GeneratedAnswer] {
        texts.enumerated().map { index, text in
            GeneratedAnswer(
                tokens: Array(repeating: 5, count: index + 1), prompt: "Say it \"well\"\n", text: text,
                reference: index < references.count ? references[index] : nil)
        }
    }

    @Test func regularExpressionsAreSearchedFor() throws {
        let reward = RegularExpressionReward(
            try RegularExpression(#"^(?=[\s\S]*\.$)\s*\S+(?:\s+\S+){2,3}$"#, key: "pattern"))
        #expect(
            try reward.scores(of: answers("One two three.", "One two.", "One two three", "A b\nc d.")) == [1, 0, 0, 1])
    }

    @Test func aPatternWithoutEndIsAnError() throws {
        let reward = RegularExpressionReward(try RegularExpression("(a+)+$", key: "pattern"))
        #expect(throws: InputError.self) {
            try reward.scores(of: answers(String(repeating: "a", count: 40) + "b"))
        }
    }

    @Test func jsonIsOneValue() {
        #expect(JSONReward().scores(of: answers("{\"a\": [1, 2]}", " 3 \n", "{a: 1}", "1 2", "")) == [1, 1, 0, 0, 0])
    }

    @Test func exactMatchNeedsAReference() throws {
        #expect(
            try ExactMatchReward().scores(of: answers(" 42\n", "41", references: ["42", "42"])) == [1, 0])
        #expect(throws: InputError.self) { try ExactMatchReward().scores(of: answers("42")) }
    }

    @Test func lengthsAreOfWordsCharactersOrTokens() {
        let given = answers("one two", "one  two\nthree", "é")
        #expect(LengthReward(2...3, unit: .words).scores(of: given) == [1, 1, 0])
        #expect(LengthReward(1...7, unit: .characters).scores(of: given) == [1, 0, 1])
        #expect(LengthReward(2...3, unit: .tokens).scores(of: given) == [0, 1, 1])
    }

    @Test func repetitionIsTheShareOfRunsSaidAgain() {
        let given = answers("a b c d", "a b a b a b", "a", "")
        #expect(RepetitionReward(words: 2).scores(of: given) == [1, 0.4, 1, 1])
    }

    @Test func aMixtureIsAWeightedSum() throws {
        let mixture = RewardMixture([
            .init(name: "json", weight: 2, reward: JSONReward()),
            .init(name: "length", weight: -0.5, reward: LengthReward(1...1, unit: .words)),
        ])
        let scores = try mixture.scores(of: answers("1", "one two", "\"a b\""))
        #expect(scores.total == [1.5, 0, 2])
        #expect(scores.parts == [[1, 0, 1], [1, 0, 0]])
    }

    @Test func aCommandReadsObjectsAndWritesNumbers() throws {
        // Numbers its lines, so that order is seen; the second answers with an object.
        let script =
            #"n=0; while read -r line; do n=$((n+1)); case $n in 2) echo "{\"score\": -2.5}";; *) echo $n;; esac; done"#
        #expect(
            try CommandReward(["sh", "-c", script], timeout: 20).scores(of: answers("a", "b\nc", "d")) == [1, -2.5, 3])
        let echo = CommandReward(
            ["sh", "-c", #"grep -c '"prompt":"Say it \\"well\\"\\n","answer":"b\\nc","reference":"r","tokens":1'"#],
            timeout: 20)
        #expect(try echo.scores(of: answers("b\nc", references: ["r"])) == [1])
    }

    @Test(
        "a command that fails is an error that says how",
        arguments: [
            ("echo broken >&2; exit 3", "exit code 3: broken"), ("kill -9 $$", "signal 9"),
            ("sleep 60", "within 1.0 seconds"),
            ("echo 1", "1 lines for 2 answers"), ("echo 1; echo nan", "line 2: \"nan\""),
            ("echo 1; echo", "line 2: \"\""), ("printf '1\\n\\377\\n'", "UTF-8"), ("seq 3", "3 lines for 2"),
        ])
    func commandsThatFail(script: String, says: String) throws {
        let fault = #expect(throws: RunError.self) {
            try CommandReward(["sh", "-c", script], timeout: script.hasPrefix("sleep") ? 1 : 20)
                .scores(of: answers("a", "b"))
        }
        #expect(fault?.description.contains(says) == true, "\(fault?.description ?? "")")
    }

    @Test("what a command leaves running is not waited for, and its line ends may be those of Windows")
    func aCommandIsOverWhenItEnds() throws {
        let start = ContinuousClock.now
        let command = CommandReward(["sh", "-c", "sleep 7 & printf '1\\r\\n 2.5\\r\\n'"], timeout: 6)
        #expect(try command.scores(of: answers("a", "b")) == [1, 2.5])
        #expect(ContinuousClock.now - start < .seconds(5))
    }

    @Test func aCommandThatTakesTooLongIsEndedWithAllThatItStarted() throws {
        let folder = try TemporaryFolder()
        let script = "sh -c 'sleep 2; echo alive > \(folder.path)/child' & sleep 60"
        #expect(throws: RunError.self) {
            try CommandReward(["sh", "-c", script], timeout: 0.5).scores(of: answers("a"))
        }
        usleep(2_500_000)
        #expect(!FileManager.default.fileExists(atPath: folder.file("child")))
    }

    @Test func aCommandThatIsNotThere() throws {
        let fault = #expect(throws: RunError.self) {
            try CommandReward(["/no/such/judge"], timeout: 20).scores(of: answers("a"))
        }
        #expect(fault?.description.contains("/no/such/judge") == true)
    }
}
